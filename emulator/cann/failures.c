/* What went wrong, in words, and who is told when. Knows no operator. */
#define _GNU_SOURCE
#include "cann.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Errors: the text that aclGetRecentErrMsg gives, in the thread that failed. */
static __thread char message[8192];
int fail(int code, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    int n = snprintf(message, sizeof message, "emulated CANN: ");
    vsnprintf(message + n, sizeof message - (size_t)n, format, rest);
    va_end(rest);
    return code;
}
const char *aclGetRecentErrMsg(void) { return message; }
char *last_message(void) { return message; }

/* An error in the thread of torch_npu's queue stops that queue for good. The real runtime refuses wrong types and shapes before they are
 * queued, so here the failure is kept, what follows on the device is not run, and whoever waits for the device is told. */
enum { MOST_DEVICES = 16 };
static struct { int code, told; char text[sizeof message]; } failures[MOST_DEVICES];
static pthread_mutex_t failures_lock = PTHREAD_MUTEX_INITIALIZER;

int in_queue(void) {
    static __thread int known; /* 0 not asked yet, 1 yes, 2 no */
    char name[16] = "";
    if (!known) known = !pthread_getname_np(pthread_self(), name, sizeof name) && !strcmp(name, "acl_thread") ? 1 : 2;
    return known == 1;
}

/* Whoever waits is told once. Whoever then copies to the host is told again, for what it would read was never computed, and
 * because torch_npu's copy waits first but quotes only the copy's own message. After that, or with the next operator, all begins anew. */
int failed_before(int device) { return device >= 0 && device < MOST_DEVICES && failures[device].code; }

int kept(int device, int code) {
    if (!code || !in_queue() || device < 0 || device >= MOST_DEVICES) return code;
    pthread_mutex_lock(&failures_lock);
    if (!failures[device].code) memcpy(failures[device].text, message, sizeof message), failures[device].code = code, failures[device].told = 0;
    pthread_mutex_unlock(&failures_lock);
    return OK;
}

/* Whether an operator must not run, since one before it failed and nobody knows yet. */
int skips(int device) {
    if (failed_before(device) && failures[device].told) failures[device].code = OK;
    return failed_before(device);
}

int report(int device, int reads) {
    if (!failed_before(device) || in_queue() || (failures[device].told && !reads)) return OK;
    pthread_mutex_lock(&failures_lock);
    int code = failures[device].code;
    memcpy(message, failures[device].text, sizeof message);
    failures[device].told = 1;
    if (reads) failures[device].code = OK;
    pthread_mutex_unlock(&failures_lock);
    return code;
}
