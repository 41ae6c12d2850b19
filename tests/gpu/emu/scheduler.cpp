// Runs the blocks of a launch one after the other, their threads as fibres of one OS thread.
//
// Compiled without sanitizers, so that only kernel code is instrumented; the sanitizers are told
// about fibres and about what orders memory: the start of a block and its end, __syncthreads and
// __syncwarp. Shuffles and ballots order nothing. Refused: a barrier that not all threads reach, or
// reach at different lines; a warp operation that waits for a lane that has returned or is not in
// its mask; a shuffle from outside the mask; a deadlock; a launch that no GPU takes.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "launch.h"
#ifndef __x86_64__
#include <ucontext.h>
#endif

#if defined(EMU_ADDRESS)
extern "C" void __sanitizer_start_switch_fiber(void**, const void*, size_t);
extern "C" void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
extern "C" void __asan_unpoison_memory_region(void const volatile*, size_t);
#endif
#if defined(EMU_THREAD)
extern "C" void* __tsan_get_current_fiber();
extern "C" void* __tsan_create_fiber(unsigned);
extern "C" void __tsan_switch_to_fiber(void*, unsigned);
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
static void acquire(char* at) { __tsan_acquire(at); }
static void release(char* at) { __tsan_release(at); }
extern "C" int __tsan_get_report_mop(void*, unsigned long, int*, void**, int*, int*, int*, void**,
                                     unsigned long);
#else
static void acquire(char*) {}
static void release(char*) {}
#endif

extern "C" {
Index3 emu_thread_index, emu_block_index, emu_block_size, emu_grid_size;
unsigned char* emu_dynamic_shared;
extern char __start_emu_shared[] __attribute__((weak));
extern char __stop_emu_shared[] __attribute__((weak));
}

#if defined(EMU_THREAD)
static bool blocks_are_unordered = false;

// TSan calls this after it printed a report. Static shared memory lies at one address for all blocks
// here, so without an order between blocks every reuse of it looks like a race; on a GPU each block
// has its own. By address: the sanitizer does not find the name of every array.
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void* report) {
  int thread = 0, size = 0, write = 0, atomic = 0;
  void *at = nullptr, *trace[1] = {nullptr};
  __tsan_get_report_mop(report, 0, &thread, &at, &size, &write, &atomic, trace, 1);
  const char* where = static_cast<const char*>(at);
  if (blocks_are_unordered && __start_emu_shared && where >= __start_emu_shared &&
      where < __stop_emu_shared)
    return;
  _exit(66);
}
#endif

namespace {
enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  size_t stack_bytes = 0;
  State state = DONE;
  unsigned number = 0;  // within the block
  Index3 index{};
  int kind = 0, line = 0, source = 0;  // what it waits for
  unsigned mask = 0;
  uint64_t value = 0, result = 0;
  void* thread_handle = nullptr;   // TSan
  void* address_handle = nullptr;  // ASan
#ifndef __x86_64__
  ucontext_t context;
#endif
};

#if defined(EMU_ADDRESS) || defined(EMU_THREAD)
constexpr size_t STACK_BYTES = 256 << 10;
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif
constexpr size_t MAX_SHARED_BYTES = 227 * 1024;  // the most any GPU lends a block

std::vector<Fiber> pool;
std::vector<int> member;  // pool number of every thread of the block
Fiber main_fiber;
Fiber* current = nullptr;
unsigned n_threads, n_live, n_at_barrier, preempt, block_number;
void (*kernel)(void*);
void* kernel_context;
std::string error;
bool aborted;
uint64_t random_state;
// Addresses that stand for happens-before edges, fresh ones for neighbouring blocks and phases.
char start_edge, done_edge, barrier_edge[4096][2], warp_edge[64][32][2];
int barrier_phase, warp_phase[32];

uint32_t random_word() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return static_cast<uint32_t>(random_state >> 16);
}

template <class T> void shuffle(std::vector<T>& items, size_t n) {
  for (size_t i = n; i > 1; i--) std::swap(items[i - 1], items[random_word() % i]);
}

#ifdef __x86_64__
// Saves the registers that a call preserves on the old stack and takes those of the new one.
extern "C" void emu_swap_stacks(void** save, void* load);
asm(R"(.text
.globl emu_swap_stacks
.type emu_swap_stacks,@function
emu_swap_stacks:
 pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
 movq %rsp,(%rdi); movq %rsi,%rsp
 popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
 ret
.size emu_swap_stacks,.-emu_swap_stacks
)");
#endif

void switch_to(Fiber* from, Fiber* to, bool from_ends = false) {
  (void)from_ends;
#if defined(EMU_ADDRESS)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from->address_handle, to->stack,
                                 to->stack_bytes);
#endif
#if defined(EMU_THREAD)
  __tsan_switch_to_fiber(to->thread_handle, 1);  // 1: the switch itself orders nothing
#endif
  current = to;
  emu_thread_index = to->index;
#ifdef __x86_64__
  emu_swap_stacks(&from->stack_pointer, to->stack_pointer);
#else
  swapcontext(&from->context, &to->context);
#endif
#if defined(EMU_ADDRESS)
  __sanitizer_finish_switch_fiber(from->address_handle, nullptr, nullptr);
#endif
}

void yield() { switch_to(current, &main_fiber); }

void fiber_main() {
#if defined(EMU_ADDRESS)
  const void* stack;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (!main_fiber.stack) {
    main_fiber.stack = static_cast<char*>(const_cast<void*>(stack));
    main_fiber.stack_bytes = bytes;
  }
#endif
  Fiber* me = current;
  acquire(&start_edge);
  kernel(kernel_context);
  release(&done_edge);
  me->state = DONE;
  n_live--;
  for (;;) switch_to(me, &main_fiber, true);
}

void prepare(Fiber& f) {
#if defined(EMU_ADDRESS)
  __asan_unpoison_memory_region(f.stack, STACK_BYTES);
#endif
#ifdef __x86_64__
  void** top = reinterpret_cast<void**>(f.stack + STACK_BYTES);
  *--top = nullptr;  // so that the stack is aligned at entry as after a call
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f.stack_pointer = top;
#else
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack;
  f.context.uc_stack.ss_size = STACK_BYTES;
  f.context.uc_link = nullptr;
  makecontext(&f.context, fiber_main, 0);
#endif
}

void fail(const std::string& what) {
  if (error.empty()) {
    char where[160];
    snprintf(where, sizeof where, " [block (%u,%u,%u) thread (%u,%u,%u)]", emu_block_index.x,
             emu_block_index.y, emu_block_index.z, emu_thread_index.x, emu_thread_index.y,
             emu_thread_index.z);
    error = what + where;
  }
  aborted = true;
}

std::string at_line(int line) { return " at line " + std::to_string(line); }

Fiber* thread_of_block(unsigned i) { return i < n_threads ? &pool[member[i]] : nullptr; }

void open_barrier_if_complete() {
  if (n_at_barrier == 0 || n_at_barrier != n_live) return;
  int line = -1;
  for (unsigned i = 0; i < n_threads; i++) {
    const Fiber* f = thread_of_block(i);
    if (f->state != AT_BARRIER) {
      fail("__syncthreads" + at_line(current->line) + " after threads of the block have returned");
      return;
    }
    if (line >= 0 && line != f->line) {
      fail("threads of one block wait in __syncthreads at lines " + std::to_string(line) +
           " and " + std::to_string(f->line));
      return;
    }
    line = f->line;
  }
  n_at_barrier = 0;
  barrier_phase ^= 1;
  for (unsigned i = 0; i < n_threads; i++) thread_of_block(i)->state = READY;
}

// Completes the warp operation of `me` if all lanes of its mask have come to it.
void complete_warp(unsigned warp, const Fiber* me) {
  Fiber* lanes[32];
  uint64_t ballot = 0;
  for (unsigned l = 0; l < 32; l++) {
    lanes[l] = me->mask >> l & 1 ? thread_of_block(warp * 32 + l) : nullptr;
    Fiber* f = lanes[l];
    if (!f) continue;  // a full mask may name lanes beyond the block
    if (f->state == DONE) {
      fail("warp operation" + at_line(me->line) + " waits for lane " + std::to_string(l) +
           ", which has returned");
      return;
    }
    if (f->state != IN_WARP || f->mask != me->mask || f->kind != me->kind) return;
    if (f->value) ballot |= 1ull << l;
  }
  for (Fiber* f : lanes) {
    if (!f) continue;
    if (f->kind == EMU_SHUFFLE && !lanes[f->source]) {
      fail("shuffle" + at_line(f->line) + " reads lane " + std::to_string(f->source) +
           " outside its mask");
      return;
    }
    f->result = f->kind == EMU_SHUFFLE ? lanes[f->source]->value : ballot;
  }
  warp_phase[warp] ^= 1;
  for (Fiber* f : lanes) {
    if (f) f->state = READY;
  }
}

bool launchable(const EmuLaunch& how) {
  const unsigned* g = how.grid;
  const unsigned* b = how.block;
  if (!g[0] || !g[1] || !g[2] || !b[0] || !b[1] || !b[2]) return false;
  if (b[0] > 1024 || b[1] > 1024 || b[2] > 64 || b[0] * b[1] * b[2] > 1024) return false;
  return g[0] <= 0x7fffffffu && g[1] <= 65535 && g[2] <= 65535 &&
         how.shared_bytes <= MAX_SHARED_BYTES;
}

void grow_pool(size_t n) {
  for (size_t i = pool.size(); i < n; i++) {
    Fiber f;
    f.stack = static_cast<char*>(mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    f.stack_bytes = STACK_BYTES;
#if defined(EMU_THREAD)
    f.thread_handle = __tsan_create_fiber(0);
#endif
    pool.push_back(f);
  }
}

// Shared memory full of ones: NaN as a float, -1 as an int. By hand where sanitizers intercept.
void poison(char* at, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) static_cast<volatile char*>(at)[i] = static_cast<char>(0xff);
}

void explain_deadlock() {
  unsigned n_warp = 0, n_barrier = 0;
  int line = -1;
  for (unsigned i = 0; i < n_threads; i++) {
    const Fiber* f = thread_of_block(i);
    n_barrier += f->state == AT_BARRIER;
    n_warp += f->state == IN_WARP;
    if (f->state != DONE) line = f->line;
  }
  fail("deadlock: " + std::to_string(n_barrier) + " threads in __syncthreads, " +
       std::to_string(n_warp) + " in a warp operation" + at_line(line) + ", " +
       std::to_string(n_threads - n_live) + " have returned");
}

void run_block(const EmuLaunch& how, std::vector<int>& order) {
  open_barrier_if_complete();
  while (n_live > 0 && !aborted) {
    if (how.seed > 1) shuffle(order, n_threads);
    bool ran = false;
    for (unsigned k = 0; k < n_threads && !aborted; k++) {
      Fiber* f = thread_of_block(static_cast<unsigned>(order[k]));
      if (f->state != READY) continue;
      ran = true;
      switch_to(&main_fiber, f);
      if (f->state == DONE) open_barrier_if_complete();
    }
    if (!ran && n_live > 0 && !aborted) explain_deadlock();
  }
}
}  // namespace

extern "C" {
unsigned emu_lane() { return current->number & 31; }

void emu_maybe_yield() {
  if (preempt && random_word() % preempt == 0) yield();
}

void emu_barrier(int line) {
  Fiber* me = current;
  char* edge = &barrier_edge[block_number & 4095][barrier_phase];
  release(edge);
  me->line = line;
  me->state = AT_BARRIER;
  n_at_barrier++;
  open_barrier_if_complete();
  if (preempt) yield();  // the last to arrive need not be the first to leave
  while (me->state != READY) yield();
  acquire(edge);
}

uint64_t emu_warp_operation(int kind, unsigned mask, uint64_t value, int source, int line) {
  Fiber* me = current;
  const unsigned warp = me->number >> 5;
  if (!(mask >> (me->number & 31) & 1)) {
    fail("the calling lane is not in its own mask" + at_line(line));
    yield();
  }
  char* edge = &warp_edge[block_number & 63][warp][warp_phase[warp]];
  if (kind == EMU_SYNC) release(edge);
  me->kind = kind;
  me->mask = mask;
  me->value = value;
  me->source = source;
  me->line = line;
  me->state = IN_WARP;
  complete_warp(warp, me);
  while (me->state != READY) yield();
  if (kind == EMU_SYNC) acquire(edge);
  return me->result;
}

const char* emu_error() { return error.c_str(); }

// 0 if all blocks ran to their end, else 1 and a reason in emu_error.
int emu_run(const EmuLaunch* launch, void (*call)(void*), void* context) {
  const EmuLaunch& how = *launch;
  kernel = call;
  kernel_context = context;
  error.clear();
  aborted = false;
  if (!launchable(how)) {
    error = "no GPU takes this grid, block and shared memory";
    return 1;
  }
  emu_grid_size = {how.grid[0], how.grid[1], how.grid[2]};
  emu_block_size = {how.block[0], how.block[1], how.block[2]};
  n_threads = how.block[0] * how.block[1] * how.block[2];
  preempt = how.preempt;
  random_state = 0x9E3779B97F4A7C15ull * (how.seed + 1) + 12345;
  const uint64_t n_blocks = static_cast<uint64_t>(how.grid[0]) * how.grid[1] * how.grid[2];
  size_t n_fibers = n_threads;
#if defined(EMU_THREAD)
  // A fibre of two blocks carries an order between them: more of them, drawn anew, keep that rare.
  // Each costs TSan some hundred kilobytes.
  const size_t most = std::max<size_t>(n_threads, 512);
  n_fibers = std::min<size_t>(most, n_threads * std::min<uint64_t>(4, n_blocks));
  blocks_are_unordered = how.unordered_blocks;
  if (!main_fiber.thread_handle) main_fiber.thread_handle = __tsan_get_current_fiber();
#endif
  grow_pool(n_fibers);
  std::vector<uint64_t> blocks(n_blocks);
  for (uint64_t i = 0; i < n_blocks; i++) blocks[i] = how.seed == 1 ? n_blocks - 1 - i : i;
  if (how.seed > 1) shuffle(blocks, n_blocks);
  std::vector<int> order(n_threads), drawn(n_fibers);
  for (size_t i = 0; i < n_fibers; i++) drawn[i] = static_cast<int>(i);
  std::vector<void*> to_free;
  for (uint64_t i = 0; i < n_blocks && !aborted; i++) {
    block_number = static_cast<unsigned>(i);
    const uint64_t b = blocks[i];
    emu_block_index = {static_cast<unsigned>(b % how.grid[0]),
                       static_cast<unsigned>(b / how.grid[0] % how.grid[1]),
                       static_cast<unsigned>(b / how.grid[0] / how.grid[1])};
    if (__start_emu_shared) {
      poison(__start_emu_shared, static_cast<size_t>(__stop_emu_shared - __start_emu_shared));
    }
    void* dynamic = nullptr;  // its exact size, so that ASan sees the first byte beyond
    if (how.shared_bytes) {
      if (posix_memalign(&dynamic, 16, how.shared_bytes)) abort();
      poison(static_cast<char*>(dynamic), how.shared_bytes);
      to_free.push_back(dynamic);
    }
    emu_dynamic_shared = static_cast<unsigned char*>(dynamic);
    if (!how.unordered_blocks) acquire(&done_edge);
    release(&start_edge);
#if defined(EMU_THREAD)
    shuffle(drawn, n_fibers);
#endif
    member.assign(drawn.begin(), drawn.begin() + n_threads);
    n_at_barrier = 0;
    barrier_phase = 0;
    n_live = n_threads;
    memset(warp_phase, 0, sizeof warp_phase);
    for (unsigned k = 0; k < n_threads; k++) {
      Fiber& f = pool[member[k]];
      f.number = k;
      f.state = READY;
      f.index = {k % how.block[0], k / how.block[0] % how.block[1],
                 k / how.block[0] / how.block[1]};
      prepare(f);
      order[k] = static_cast<int>(how.seed == 1 ? n_threads - 1 - k : k);
    }
    run_block(how, order);
#if !defined(EMU_THREAD)
    free(dynamic);
    to_free.clear();
#endif
  }
  // Freeing is a write in TSan's eyes: after the launch, when all fibres are joined.
  acquire(&done_edge);
  for (void* p : to_free) free(p);
  return aborted ? 1 : 0;
}
}
