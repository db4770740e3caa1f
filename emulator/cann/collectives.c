/* What torch_npu asks of a communicator while it holds locks of its own: answered without Python's, which another thread may hold meanwhile.
 *
 * A communicator is a C string, its name; communicator.py makes it and knows it by its address. */
#include "cann.h"
#include <string.h>

uint32_t HcclGetCommConfigCapability(void) { return 12; } /* all of HcclCommConfigCapability (hccl_types.h) */
int HcclGetCommName(const char *communicator, char *name) { strcpy(name, communicator); return OK; }

/* A collective that fails says so when it is launched; there is nothing to find out later. */
int HcclGetCommAsyncError(const char *communicator, int *error) { (void)communicator; *error = OK; return OK; }
