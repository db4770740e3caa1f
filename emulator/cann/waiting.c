/* Lets go of Python's lock where torch_npu waits for its queue while it holds it.
 *
 * On a real device the queue's thread needs no Python, so torch_npu may wait with the lock held (it lets go only where graph operators
 * are compiled in Python). Here that thread runs Python for every operator, and such a wait would never end. The wheel's file is not touched: its one
 * reference to eventfd_read, with which it waits, is led through here in this process. */
#define _GNU_SOURCE
#include "cann.h"
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int Py_IsInitialized(void);
int PyGILState_Check(void);
void *PyEval_SaveThread(void);
void PyEval_RestoreThread(void *);

static int patient_read(int file, eventfd_t *value) {
    void *held = Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : NULL;
    int result = eventfd_read(file, value), reason = errno;
    if (held) PyEval_RestoreThread(held);
    errno = reason;
    return result;
}

static int lead(struct dl_phdr_info *library, size_t size, void *found) {
    (void)size;
    if (!strstr(library->dlpi_name, "libtorch_npu.so")) return 0;
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < library->dlpi_phnum; i++)
        if (library->dlpi_phdr[i].p_type == PT_DYNAMIC) dynamic = (void *)(library->dlpi_addr + library->dlpi_phdr[i].p_vaddr);
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    const ElfW(Rela) *references = NULL;
    size_t bytes = 0;
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB) symbols = (void *)dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_STRTAB) names = (void *)dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_JMPREL) references = (void *)dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_PLTRELSZ) bytes = dynamic->d_un.d_val;
    }
    for (size_t i = 0; symbols && names && references && i < bytes / sizeof *references; i++) {
        if (strcmp(names + symbols[ELF64_R_SYM(references[i].r_info)].st_name, "eventfd_read")) continue;
        void **slot = (void **)(library->dlpi_addr + references[i].r_offset);
        uintptr_t page = (uintptr_t)slot & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
        if (mprotect((void *)page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE)) return 1;
        *slot = (void *)patient_read;
        *(int *)found = 1;
    }
    return 1;
}

int wait_without_lock(void) {
    int found = 0;
    dl_iterate_phdr(lead, &found);
    return found ? OK : fail(FAILED, "torch_npu does not wait with eventfd_read as its version 2.13 does: without that, a wait could last for ever");
}
