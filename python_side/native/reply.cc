#include "python_side/native/reply.h"

#include <cstring>
#include <string>

#include "python_side/native/buffer_view.h"
#include "python_side/native/bytes.h"
#include "python_side/native/error.h"
#include "python_side/native/tensor_objects.h"
#include "python_side/native/tensor_writer.h"

namespace slotring::python {

namespace {

Result<WrittenReply> write_buffer(PayloadSink& sink, const Py_buffer& buffer) {
  if (PyBuffer_IsContiguous(&buffer, 'C') != 0) {
    return write_bytes(sink, bytes_in(buffer));
  }
  const auto bytes = static_cast<std::uint64_t>(buffer.len);
  Result<std::span<std::byte>> space = sink.space(bytes, /*with_rare_part=*/false);
  if (!space) return std::move(space).error();
  if (PyBuffer_ToContiguous(space->data(), &buffer, buffer.len, 'C') != 0) {
    return take_exception(ErrorCode::kReplyNotConvertible);
  }
  return WrittenReply{wire::PayloadKind::Bytes, bytes};
}

// Whether a buffer is an array, and no plain bytes.
bool is_tensor(PyObject* object, const Py_buffer& buffer, PayloadSink& sink) {
  if (PyByteArray_Check(object)) return false;
  if (!PyMemoryView_Check(object)) {
    return PyObject_HasAttrString(as_object(Py_TYPE(object)), "__array_interface__") != 0;
  }
  // Where there is no numpy, arrays in place are memoryviews.
  const std::optional<ArraysInPlace> in_place = sink.in_place();
  const Result<Tensor> tensor = tensor_of(buffer);
  return in_place && tensor && in_place->offset_of(*tensor);
}

bool is_record(const Py_buffer& buffer) {
  return buffer.format != nullptr && buffer.format[0] == 'T';
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
    return write_bytes(sink, bytes_in(reply));
  }
  // What is a float, and a buffer too, is numpy's float64: a value.
  if (PyObject_CheckBuffer(reply) == 0 || PyFloat_Check(reply)) return write_value(sink, reply);
  const BufferView buffer(reply, PyBUF_FULL_RO);
  if (!buffer.held()) {
    Error error = take_exception(ErrorCode::kReplyNotConvertible);
    // An array of what has no buffer, as numpy's dates.
    if (is_array(reply)) return write_value(sink, reply);
    error.message = "the buffer of a " + type_name_of(reply) + " cannot be had: " + error.message;
    return error;
  }
  if (buffer->ndim == 0) return write_value(sink, reply);
  if (holds_references(buffer->format)) {
    return Error{ErrorCode::kReplyNotConvertible, "a " + type_name_of(reply) +
                                                      " of Python objects cannot be sent; a list "
                                                      "of values can, see its tolist()"};
  }
  // Records have no dtype of a tensor's: their bytes are sent.
  if (is_tensor(reply, *buffer, sink) && !is_record(*buffer)) {
    // In another byte order it is converted first.
    if (!tensor_of(*buffer)) return write_parts(sink, reply);
    return write_tensors(sink, std::span(&reply, 1), {}, {});
  }
  return write_buffer(sink, *buffer);
}

Result<WrittenReply> ReplyWriter::write_value(PayloadSink& sink, PyObject* reply) {
  if (writing_) [[unlikely]]
    return ReplyWriter().write_value(sink, reply);
  bool met_array = false;
  Result<WrittenReply> written = write_value_bytes(sink, reply, met_array);
  if (written || !met_array) return written;
  Result<WrittenReply> of_parts = write_parts(sink, reply);
  const bool no_parts = of_parts && of_parts->kind == wire::PayloadKind::Empty;
  return no_parts ? std::move(written) : std::move(of_parts);
}

Result<WrittenReply> ReplyWriter::write_value_bytes(PayloadSink& sink, PyObject* reply,
                                                    bool& met_array) {
  writing_ = true;
  const Result<std::span<const std::byte>> value = values_.write(reply, sink.max_bytes());
  met_array = values_.met_array();
  Result<WrittenReply> written =
      value ? write_bytes(sink, *value) : Result<WrittenReply>(value.error());
  writing_ = false;
  if (written) written->kind = wire::PayloadKind::Value;
  return written;
}

// A reply with arrays in it; Empty when there are none at its top level.
Result<WrittenReply> ReplyWriter::write_parts(PayloadSink& sink, PyObject* reply) {
  const Ref parts = call_tensors("parts_of", reply);
  PyObject* value = nullptr;
  PyObject* names = nullptr;
  PyObject* arrays = nullptr;
  if (!parts || !PyArg_ParseTuple(parts.get(), "OOO", &value, &names, &arrays)) {
    return take_exception(ErrorCode::kReplyNotConvertible);
  }
  if (PyList_Size(arrays) == 0) return WrittenReply{wire::PayloadKind::Empty, 0};
  std::vector<PyObject*> buffers;
  std::vector<std::string> texts;
  for (Py_ssize_t i = 0; i < PyList_Size(arrays); ++i) {
    buffers.push_back(PyList_GetItem(arrays, i));
    if (names != Py_None) texts.push_back(text_of(PyList_GetItem(names, i)));
  }
  if (value == Py_None) return write_tensors(sink, buffers, texts, {});
  ValueWriter values;
  const Result<std::span<const std::byte>> map = values.write(value, sink.max_bytes());
  if (!map) return map.error();
  return write_tensors(sink, buffers, texts, *map);
}

}  // namespace slotring::python
