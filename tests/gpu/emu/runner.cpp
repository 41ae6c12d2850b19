// A process that launches emulated kernels on request: what goes wrong in one ends the runner, not
// the tests. Requests come on standard input, answers go to standard output, in native byte order:
//
//   u32 length, name; EmuLaunch; u32 arguments; for each u32 kind, u64 bytes, and its bytes
//   kind 0 read-only array, 1 array that is sent back, 2 scalar, 3 null
//
// The answer is a u32, 0 and then the arrays of kind 1, or the length of a message and the message.
// Every array is an allocation of its exact size, so that ASan sees the first byte beyond it.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "launch.h"

namespace {
bool get(void* to, size_t n) { return n == 0 || fread(to, 1, n, stdin) == n; }
template <class T> bool get(T& value) { return get(&value, sizeof value); }
void put(const void* from, size_t n) {
  if (n && fwrite(from, 1, n, stdout) != n) exit(3);
}

struct Argument {
  uint32_t kind = 3;
  uint64_t bytes = 0, scalar = 0;
  void* data = nullptr;
};

bool serve() {
  uint32_t length, n_arguments;
  if (!get(length)) return false;
  std::string name(length, ' ');
  EmuLaunch how;
  if (!get(&name[0], length) || !get(how) || !get(n_arguments)) return false;
  std::vector<Argument> arguments(n_arguments);
  std::vector<void*> pointers;
  for (Argument& a : arguments) {
    if (!get(a.kind) || !get(a.bytes)) return false;
    if (a.kind < 2 && posix_memalign(&a.data, 16, a.bytes ? a.bytes : 1)) return false;
    if (!get(a.kind == 2 ? &a.scalar : a.data, a.bytes)) return false;
    pointers.push_back(a.kind == 2 ? static_cast<void*>(&a.scalar) : &a.data);
  }
  const EmuKernel kernel = emu_kernel(name.c_str());
  std::string message;
  if (!kernel) message = "no kernel " + name;
  else if (kernel(&how, pointers.data())) message = emu_error();
  const uint32_t status = static_cast<uint32_t>(message.size());
  put(&status, sizeof status);
  put(message.data(), message.size());
  for (const Argument& a : arguments) {
    if (!status && a.kind == 1) put(a.data, a.bytes);
    free(a.data);
  }
  fflush(stdout);
  return !status;  // fibres of an aborted launch hang in the middle of a kernel
}
}  // namespace

int main() {
  while (serve()) {
  }
}
