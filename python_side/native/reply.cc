#include "python_side/native/reply.h"

#include <cstring>

#include "python_side/native/buffer_view.h"
#include "python_side/native/error.h"

namespace slotring::python {

namespace {

Result<WrittenReply> write_buffer(PayloadSink& sink, const Py_buffer& buffer) {
  if (PyBuffer_IsContiguous(&buffer, 'C') != 0) {
    return write_bytes(
        sink, {static_cast<const std::byte*>(buffer.buf), static_cast<std::size_t>(buffer.len)});
  }
  const auto bytes = static_cast<std::uint64_t>(buffer.len);
  Result<std::span<std::byte>> space = sink.space(bytes, /*with_rare_part=*/false);
  if (!space) return std::move(space).error();
  if (PyBuffer_ToContiguous(space->data(), &buffer, buffer.len, 'C') != 0) {
    return take_exception(ErrorCode::kReplyNotConvertible);
  }
  return WrittenReply{wire::PayloadKind::Bytes, bytes};
}

}  // namespace

Result<WrittenReply> write_bytes(PayloadSink& sink, std::span<const std::byte> bytes) {
  Result<std::span<std::byte>> space = sink.space(bytes.size(), /*with_rare_part=*/false);
  if (!space) return std::move(space).error();
  if (!bytes.empty()) std::memcpy(space->data(), bytes.data(), bytes.size());
  return WrittenReply{wire::PayloadKind::Bytes, bytes.size()};
}

Result<WrittenReply> ReplyWriter::write(PayloadSink& sink, PyObject* reply) {
  if (reply == Py_None) return WrittenReply{wire::PayloadKind::Empty, 0};
  if (PyBytes_Check(reply)) {
    return write_bytes(sink, {reinterpret_cast<const std::byte*>(PyBytes_AsString(reply)),
                              static_cast<std::size_t>(PyBytes_Size(reply))});
  }
  // What is a float, and a buffer too, is numpy's float64: a value.
  if (PyObject_CheckBuffer(reply) == 0 || PyFloat_Check(reply)) return write_value(sink, reply);
  const BufferView buffer(reply, PyBUF_FULL_RO);
  if (!buffer.held()) {
    Error error = take_exception(ErrorCode::kReplyNotConvertible);
    error.message = "the buffer of a " + type_name_of(reply) + " cannot be had: " + error.message;
    return error;
  }
  if (buffer->ndim == 0) return write_value(sink, reply);
  if (holds_references(buffer->format)) {
    return Error{ErrorCode::kReplyNotConvertible, "a " + type_name_of(reply) +
                                                      " of Python objects cannot be sent; a list "
                                                      "of values can, see its tolist()"};
  }
  return write_buffer(sink, *buffer);
}

Result<WrittenReply> ReplyWriter::write_value(PayloadSink& sink, PyObject* reply) {
  if (writing_) [[unlikely]]
    return ReplyWriter().write_value(sink, reply);
  writing_ = true;
  const Result<std::span<const std::byte>> value = values_.write(reply, sink.max_bytes());
  Result<WrittenReply> written =
      value ? write_bytes(sink, *value) : Result<WrittenReply>(value.error());
  writing_ = false;
  if (written) written->kind = wire::PayloadKind::Value;
  return written;
}

}  // namespace slotring::python
