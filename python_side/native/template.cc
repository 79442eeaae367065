#include "python_side/native/template.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/peer_socket.h"
#include "python_side/native/error.h"

namespace slotring::python {

namespace {

using shm::Packet;

// What comes with wire::Fork, in this order.
enum { kSocket, kSeatSocket, kOutput, kErrorOutput, kDescriptors };

constexpr const char* kSocketPlace = "{socket}";  // in wire::Fork's arguments
constexpr const char* kSeatSocketPlace = "{seat-socket}";

template <class Table>
Status answer(int socket, wire::Message type, flatbuffers::FlatBufferBuilder& builder,
              flatbuffers::Offset<Table> message) {
  return shm::send_packet(socket, builder, type, message.Union());
}

Status send_refused(int socket, const Error& why) {
  flatbuffers::FlatBufferBuilder builder;
  const auto message = builder.CreateString(why.message);
  const auto refused = wire::CreateRefused(builder, static_cast<std::uint16_t>(why.code), message);
  return answer(socket, wire::Message::Refused, builder, refused);
}

Status send_preloaded(int socket) {
  flatbuffers::FlatBufferBuilder builder;
  return answer(socket, wire::Message::Preloaded, builder, wire::CreatePreloaded(builder));
}

Status send_forked(int socket, pid_t pid) {
  flatbuffers::FlatBufferBuilder builder;
  return answer(socket, wire::Message::Forked, builder, wire::CreateForked(builder, pid));
}

// What the kernel and the C library know of the only thread, and a fork has to renew.
struct MainThread {
  pid_t* id = nullptr;  // where the C library keeps its id, and the kernel clears it at its end
  void* robust_list = nullptr;
  std::size_t robust_list_bytes = 0;

  static Result<MainThread> find() {
    MainThread thread;
    if (::prctl(PR_GET_TID_ADDRESS, &thread.id) != 0 || thread.id == nullptr ||
        *thread.id != ::getpid()) {
      return Error{ErrorCode::kRefused,
                   "this kernel does not tell what a fork needs (prctl PR_GET_TID_ADDRESS): use "
                   "start = \"process\""};
    }
    ::syscall(SYS_get_robust_list, 0, &thread.robust_list, &thread.robust_list_bytes);
    return thread;
  }

  // As fork(), but the new process is a child of this one's parent. -1 with errno.
  pid_t fork_sibling() const {
    constexpr unsigned long kFlags =
        CLONE_PARENT | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    // The last two are the new thread's id and its TLS, in an order that the machine decides; the
    // TLS is not looked at.
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone, kFlags, nullptr, nullptr, id, id));
    if (pid == 0) ::syscall(SYS_set_robust_list, robust_list, robust_list_bytes);
    return pid;
  }
};

// In the new process: what the launcher does between fork and exec (supervisor/launcher.cc). What
// else it does there, this process has from the template.
void become_worker(const Packet& order, int template_socket, pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != supervisor) ::_exit(126);  // it died before
  ::close(template_socket);
  ::dup2(order.descriptors[kOutput].get(), STDOUT_FILENO);
  ::dup2(order.descriptors[kErrorOutput].get(), STDERR_FILENO);
}

// The order's arguments, in the worker. The descriptors stay open, and are the worker's.
PyObject* arguments_of(Packet& order) {
  const std::string socket = std::to_string(order.descriptors[kSocket].release());
  const std::string seat_socket = std::to_string(order.descriptors[kSeatSocket].release());
  const Ref list = Ref::steal(PyList_New(0));
  if (!list) return nullptr;
  for (const flatbuffers::String* argument : *order.as<wire::Fork>()->arguments()) {
    std::string_view text = argument->string_view();
    if (text == kSocketPlace) text = socket;
    if (text == kSeatSocketPlace) text = seat_socket;
    const Ref item = str_of(text);
    if (!item || PyList_Append(list.get(), item.get()) != 0) return nullptr;
  }
  return Ref(list).release();
}

// Waits for the next order. Errors: WORKER_UNAVAILABLE and BAD_FRAME, when no more will come; else
// a shortage, of this one order.
Result<Packet> next_order(int socket) {
  const GilRelease released;
  Result<Packet> order = shm::receive_packet(socket, shm::kNever);
  if (!order) return order;
  const auto* fork = order->as<wire::Fork>();
  if (fork == nullptr || fork->arguments() == nullptr ||
      order->descriptors.size() != kDescriptors) {
    return Error{ErrorCode::kBadFrame, "no order to fork"};
  }
  return order;
}

// Why no worker is to be forked now; empty when one may be. Nothing with a Python exception.
std::optional<std::string> ask(PyObject* refusal) {
  const Ref answered = Ref::steal(PyObject_CallNoArgs(refusal));
  if (!answered) return std::nullopt;
  return answered.get() == Py_None ? std::string() : text_of(answered.get());
}

PyObject* refuse(int socket, const std::string& message) {
  (void)send_refused(socket, {ErrorCode::kRefused, message}).ok();  // to whoever is still there
  return none();
}

}  // namespace

PyObject* settle_for_fork(PyObject* /*module*/, PyObject* /*none*/) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  if (pid < 0) return PyErr_SetFromErrno(PyExc_OSError);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return none();
}

PyObject* refuse_forks(PyObject* /*module*/, PyObject* arguments) {
  int socket = -1;
  const char* message = nullptr;
  if (!PyArg_ParseTuple(arguments, "is", &socket, &message)) return nullptr;
  return refuse(socket, message);
}

PyObject* fork_workers(PyObject* /*module*/, PyObject* arguments) {
  int socket = -1;
  PyObject* refusal = nullptr;
  if (!PyArg_ParseTuple(arguments, "iO", &socket, &refusal)) return nullptr;
  const pid_t supervisor = ::getppid();
  const Result<MainThread> thread = MainThread::find();
  if (!thread) return refuse(socket, thread.error().message);
  std::optional<std::string> refused = ask(refusal);
  if (!refused) return nullptr;
  if (!refused->empty()) return refuse(socket, *refused);
  if (!send_preloaded(socket)) return none();
  for (;;) {
    Result<Packet> order = next_order(socket);
    if (!order && order.error().category() != ErrorCategory::kResource) return none();
    if (!order) {
      if (!send_refused(socket, order.error())) return none();
      continue;
    }
    refused = ask(refusal);
    if (!refused) return nullptr;
    if (!refused->empty()) return refuse(socket, *refused);
    PyOS_BeforeFork();
    const pid_t pid = thread->fork_sibling();
    const int failed = errno;
    if (pid == 0) {
      become_worker(*order, socket, supervisor);
      PyOS_AfterFork_Child();
      return arguments_of(*order);
    }
    PyOS_AfterFork_Parent();
    const Status answered = pid > 0 ? send_forked(socket, pid)
                                    : send_refused(socket, shm::system_error("fork", failed));
    if (!answered) return none();
  }
}

}  // namespace slotring::python
