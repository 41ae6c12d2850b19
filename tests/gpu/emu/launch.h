// What the kernels, the scheduler and the runner agree on.
#pragma once
#include <cstdint>

struct Index3 { unsigned x, y, z; };

// One launch: grid, block, bytes of dynamic shared memory, and the order of execution.
struct EmuLaunch {
  unsigned grid[3], block[3], shared_bytes;
  unsigned seed;              // 0 natural order, 1 reversed, else shuffled threads and blocks
  unsigned preempt;           // hand over at one atomic in so many; 0 never
  unsigned unordered_blocks;  // for the race detector: no block happens before another
};

enum EmuWarp { EMU_SYNC, EMU_SHUFFLE, EMU_BALLOT };

extern "C" {
extern Index3 emu_thread_index, emu_block_index, emu_block_size, emu_grid_size;
extern unsigned char* emu_dynamic_shared;
void emu_barrier(int line);
uint64_t emu_warp_operation(int kind, unsigned mask, uint64_t value, int source, int line);
unsigned emu_lane();
void emu_maybe_yield();
const char* emu_error();
int emu_run(const EmuLaunch*, void (*call)(void*), void* context);
}

typedef int (*EmuKernel)(const EmuLaunch*, void** arguments);
EmuKernel emu_kernel(const char* name);  // null if there is none of that name
