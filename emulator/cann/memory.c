/* Devices and their memory: a reserved range of addresses a device, first fit, with a capacity; and who wrote what last.
 *
 * Physical memory (aclrtMallocPhysical) is backed by anonymous files, so that torch_npu's expandable segments work too. */
#define _GNU_SOURCE
#include "cann.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_DEVICES = 16, GRAIN = 512, PAGE = 4096 };
typedef struct Block { char *begin; size_t bytes; struct Block *next; } Block;
typedef struct { char *base; uint8_t *writers; size_t span, capacity, used; Block *blocks; } Space;

static Space spaces[MOST_DEVICES];
static int devices = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int chosen = -1;
struct Statistics statistics;
int assay_fault_free_keeps, assay_fault_copy_tail; /* faults.py switches them on */

long long setting(const char *name, long long otherwise) {
    const char *text = getenv(name);
    char *end;
    if (!text || !*text) return otherwise;
    double value = strtod(text, &end);
    while (*end == ' ') end++;
    if (*end == 'K' || *end == 'k') value *= 1024, end++;
    else if (*end == 'M' || *end == 'm') value *= 1024 * 1024, end++;
    else if (*end == 'G' || *end == 'g') value *= 1024 * 1024 * 1024, end++;
    if (*end == 'i') end++;
    if (*end == 'B') end++;
    if (*end || value < 0) {
        fprintf(stderr, "emulator: %s=%s is no size; give a number, with K, M or G if it is large\n", name, text);
        exit(2);
    }
    return (long long)value;
}

int device_count(void) {
    if (devices < 0) {
        long long wanted = setting("ASSAY_EMULATOR_DEVICES", 2);
        devices = wanted > MOST_DEVICES ? MOST_DEVICES : (int)wanted;
    }
    return devices;
}

static Space *space(int device) {
    if (device < 0 || device >= device_count()) return NULL;
    Space *it = &spaces[device];
    if (!it->base) {
        pthread_mutex_lock(&lock);
        if (!it->base) {
            it->capacity = (size_t)setting("ASSAY_EMULATOR_MEMORY", 8LL << 30);
            it->span = 4 * it->capacity + (1ULL << 30); /* addresses are free; fragments must never be what is short */
            it->writers = mmap(NULL, it->span / GRAIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            char *base = mmap(NULL, it->span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (base == MAP_FAILED || it->writers == MAP_FAILED) { perror("emulator: no addresses for a device's memory"); exit(2); }
            it->base = base;
        }
        pthread_mutex_unlock(&lock);
    }
    return it;
}

int current_device(void) { return chosen; }

int device_of(const void *address) {
    for (int device = 0; device < MOST_DEVICES; device++)
        if (spaces[device].base && (char *)address >= spaces[device].base && (char *)address < spaces[device].base + spaces[device].span)
            return device;
    return -1;
}

/* Whether all of these bytes lie in one block that is allocated. */
int living(const void *address, size_t bytes) {
    int device = device_of(address), found = 0;
    if (device < 0) return 0;
    pthread_mutex_lock(&lock);
    for (Block *block = spaces[device].blocks; block && !found; block = block->next)
        found = (char *)address >= block->begin && (char *)address + bytes <= block->begin + block->bytes;
    pthread_mutex_unlock(&lock);
    return found;
}

void written(const void *address, size_t bytes, Writer writer) {
    int device = device_of(address);
    if (device < 0 || !bytes) return;
    size_t first = (size_t)((char *)address - spaces[device].base) / GRAIN;
    size_t last = (size_t)((char *)address + bytes - 1 - spaces[device].base) / GRAIN;
    memset(spaces[device].writers + first, writer, last - first + 1);
}

static Writer writer_of(const void *address) {
    int device = device_of(address);
    return device < 0 ? COPY : (Writer)spaces[device].writers[(size_t)((char *)address - spaces[device].base) / GRAIN];
}

/* First fit. `counted`: it takes memory, not only addresses. */
static int take(Space *it, void **address, size_t bytes, int counted) {
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    if (!bytes) bytes = PAGE;
    if (counted && it->used + bytes > it->capacity) return OUT_OF_MEMORY;
    Block **link = &it->blocks;
    char *begin = it->base;
    for (; *link && (size_t)((*link)->begin - begin) < bytes; link = &(*link)->next) begin = (*link)->begin + (*link)->bytes;
    if ((size_t)(it->base + it->span - begin) < bytes) return OUT_OF_MEMORY;
    Block *block = malloc(sizeof *block);
    *block = (Block){begin, bytes, *link};
    *link = block;
    if (counted) it->used += bytes;
    memset(it->writers + (begin - it->base) / GRAIN, NOBODY, bytes / GRAIN);
    *address = begin;
    return OK;
}

static size_t give(Space *it, char *address) {
    for (Block **link = &it->blocks; *link; link = &(*link)->next)
        if ((*link)->begin == address) {
            Block *block = *link;
            size_t bytes = block->bytes;
            *link = block->next;
            free(block);
            return bytes;
        }
    return 0;
}

int aclrtMalloc(void **address, size_t bytes, int policy) {
    (void)policy;
    Space *it = space(chosen);
    if (!it) return fail(NO_CONTEXT, "aclrtMalloc: no device is set in this thread");
    pthread_mutex_lock(&lock);
    int code = take(it, address, bytes, 1);
    pthread_mutex_unlock(&lock);
    return code ? fail(code, "aclrtMalloc: %zu bytes do not fit (ASSAY_EMULATOR_MEMORY is %zu, in use %zu)", bytes, it->capacity, it->used) : OK;
}
int aclrtMallocAlign32(void **address, size_t bytes, int policy) { return aclrtMalloc(address, bytes, policy); }

static int released(char *address, int counted) {
    int device = device_of(address);
    if (device < 0) return fail(INVALID, "aclrtFree: %p is no device memory", (void *)address);
    pthread_mutex_lock(&lock);
    size_t bytes = give(&spaces[device], address);
    if (bytes && counted && !assay_fault_free_keeps) spaces[device].used -= bytes;
    if (bytes) mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    pthread_mutex_unlock(&lock);
    return bytes ? OK : fail(INVALID, "aclrtFree: %p was not allocated, or is freed twice", (void *)address);
}
int aclrtFree(void *address) { return released(address, 1); }

int aclrtGetMemInfo(int kind, size_t *available, size_t *total) {
    (void)kind;
    Space *it = space(chosen);
    if (!it) return fail(NO_CONTEXT, "aclrtGetMemInfo: no device is set in this thread");
    *available = it->capacity - it->used, *total = it->capacity;
    return OK;
}

/* Expandable segments: addresses first, memory later. */
typedef struct { int file, device; size_t bytes; } Physical;

int aclrtReserveMemAddress(void **address, size_t bytes, size_t alignment, void *wanted, uint64_t flags) {
    (void)alignment, (void)wanted, (void)flags;
    Space *it = space(chosen < 0 ? 0 : chosen); /* torch_npu tries this before it sets a device */
    if (!it) return fail(INVALID, "aclrtReserveMemAddress: there is no device");
    pthread_mutex_lock(&lock);
    int code = take(it, address, bytes, 0);
    pthread_mutex_unlock(&lock);
    return code ? fail(code, "aclrtReserveMemAddress: no %zu addresses left", bytes) : OK;
}
int aclrtReleaseMemAddress(void *address) { return released(address, 0); }

int aclrtMallocPhysical(void **handle, size_t bytes, const void *properties, uint64_t flags) {
    (void)properties, (void)flags;
    Space *it = space(chosen);
    if (!it) return fail(NO_CONTEXT, "aclrtMallocPhysical: no device is set in this thread");
    if (it->used + bytes > it->capacity) return fail(OUT_OF_MEMORY, "aclrtMallocPhysical: %zu bytes do not fit", bytes);
    int file = memfd_create("emulated device memory", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)bytes)) return fail(OUT_OF_MEMORY, "aclrtMallocPhysical: the host has no %zu bytes", bytes);
    Physical *physical = malloc(sizeof *physical);
    *physical = (Physical){file, chosen, bytes};
    __atomic_add_fetch(&it->used, bytes, __ATOMIC_RELAXED);
    *handle = physical;
    return OK;
}
int aclrtFreePhysical(void *handle) {
    Physical *physical = handle;
    __atomic_sub_fetch(&spaces[physical->device].used, physical->bytes, __ATOMIC_RELAXED);
    close(physical->file);
    free(physical);
    return OK;
}
int aclrtMapMem(void *address, size_t bytes, size_t offset, void *handle, uint64_t flags) {
    (void)flags;
    void *mapped = mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ((Physical *)handle)->file, (off_t)offset);
    if (mapped == MAP_FAILED) return fail(INVALID, "aclrtMapMem: %zu bytes cannot be mapped at %p", bytes, address);
    written(address, bytes, NOBODY);
    return OK;
}
int aclrtUnmapMem(void *address) { (void)address; return OK; } /* the next mapping or the release replaces it */

/* Copies are done when the call returns: the earliest moment that a stream's order allows. */
int aclrtMemcpy(void *to, size_t most, const void *from, size_t bytes, int kind) {
    (void)kind;
    if (bytes > most) return fail(INVALID, "aclrtMemcpy: %zu bytes into %zu", bytes, most);
    int target = device_of(to), source = device_of(from);
    if (target >= 0 && !living(to, bytes)) return fail(INVALID, "aclrtMemcpy: writes outside allocated device memory");
    if (source >= 0 && !living(from, bytes)) return fail(INVALID, "aclrtMemcpy: reads outside allocated device memory");
    if (target < 0 && source >= 0 && failed_before(source)) return report(source, 1); /* what would be read was never computed */
    int tail = assay_fault_copy_tail && target < 0 && source >= 0 && bytes > 2048;
    memmove(to, from, tail ? bytes / 2048 * 2048 : bytes);
    if (!bytes) return OK;
    Writer writer = writer_of(from);
    if (target >= 0) {
        written(to, bytes, writer);
        if (source < 0) __atomic_add_fetch(&statistics.copies_in, 1, __ATOMIC_RELAXED);
    } else if (source >= 0) {
        __atomic_add_fetch(&statistics.copies_out, 1, __ATOMIC_RELAXED);
        long long *count = writer == NOBODY ? &statistics.copies_out_unwritten
                         : writer == COPY   ? &statistics.copies_out_of_copies : &statistics.copies_out_of_operators;
        __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    }
    return OK;
}
int aclrtMemcpyAsync(void *to, size_t most, const void *from, size_t bytes, int kind, void *stream) {
    (void)stream;
    return aclrtMemcpy(to, most, from, bytes, kind);
}
int aclrtMemset(void *address, size_t most, int32_t value, size_t bytes) {
    if (bytes > most || (device_of(address) >= 0 && !living(address, bytes))) return fail(INVALID, "aclrtMemset: outside allocated memory");
    memset(address, value, bytes);
    written(address, bytes, OPERATOR);
    return OK;
}
int aclrtMemsetAsync(void *address, size_t most, int32_t value, size_t bytes, void *stream) {
    (void)stream;
    return aclrtMemset(address, most, value, bytes);
}

int aclrtMallocHost(void **address, size_t bytes) { return posix_memalign(address, PAGE, bytes ? bytes : PAGE) ? OUT_OF_MEMORY : OK; }
int aclrtFreeHost(void *address) { free(address); return OK; }

int aclrtPointerGetAttributes(const void *address, void *attributes) {
    struct { uint32_t id, type, page_bytes, reserved[4]; } *it = attributes;
    int device = device_of(address);
    memset(it, 0, sizeof *it);
    it->id = device < 0 ? 0 : (uint32_t)device, it->type = device < 0 ? 2 : 1; /* unregistered host memory, device memory */
    return OK;
}

/* Devices. A context is the device itself: its index and one. */
int aclrtGetDeviceCount(uint32_t *count) { *count = (uint32_t)device_count(); return OK; }
int set_device(int device) {
    if (!space(device)) return fail(INVALID, "device %d of %d does not exist (ASSAY_EMULATOR_DEVICES)", device, device_count());
    chosen = device;
    return OK;
}
int aclrtSetDevice(int32_t device) { return set_device(device); }
int aclrtGetDevice(int32_t *device) { *device = chosen; return chosen < 0 ? NO_CONTEXT : OK; }
int aclrtResetDevice(int32_t device) { return device < device_count() ? OK : INVALID; }
int aclrtGetCurrentContext(void **context) { *context = (void *)(intptr_t)(chosen + 1); return chosen < 0 ? NO_CONTEXT : OK; }
int aclrtSetCurrentContext(void *context) { return set_device((int)(intptr_t)context - 1); }
int aclrtGetPrimaryCtxState(int32_t device, uint32_t *flags, int32_t *active) {
    if (flags) *flags = 0;
    *active = device >= 0 && device < MOST_DEVICES && spaces[device].base != NULL;
    return OK;
}
int aclrtDeviceCanAccessPeer(int32_t *can, int32_t device, int32_t peer) { *can = device != peer; return OK; }
int aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags) { (void)peer, (void)flags; return OK; }
