/* Streams and events. Work is done when it is launched, so a stream is always idle and an event's time is when it was recorded. */
#include "cann.h"
#include <stdlib.h>
#include <time.h>

typedef struct { int device, id; } Stream;
typedef struct { int recorded; uint64_t nanoseconds; } Event;

static int streams;

int stream_device(const void *stream) { return stream ? ((const Stream *)stream)->device : current_device(); }

int aclrtCreateStreamWithConfig(void **stream, uint32_t priority, uint32_t flags) {
    (void)priority, (void)flags;
    if (current_device() < 0) return fail(NO_CONTEXT, "aclrtCreateStream: no device is set in this thread");
    Stream *it = malloc(sizeof *it);
    *it = (Stream){current_device(), __atomic_add_fetch(&streams, 1, __ATOMIC_RELAXED)};
    *stream = it;
    return OK;
}
int aclrtCreateStream(void **stream) { return aclrtCreateStreamWithConfig(stream, 0, 0); }
int aclrtDestroyStream(void *stream) { free(stream); return OK; }
int aclrtDestroyStreamForce(void *stream) { free(stream); return OK; }
int aclrtStreamGetId(void *stream, int32_t *id) { *id = stream ? ((Stream *)stream)->id : 0; return OK; }
int aclrtStreamQuery(void *stream, int *status) { (void)stream; *status = 0; return OK; }
int aclrtSynchronizeStream(void *stream) { return report(stream_device(stream), 0); }
int aclrtSynchronizeStreamWithTimeout(void *stream, int32_t milliseconds) { (void)milliseconds; return report(stream_device(stream), 0); }
int aclrtSynchronizeDevice(void) { return report(current_device(), 0); }
int aclrtSynchronizeDeviceWithTimeout(int32_t milliseconds) { (void)milliseconds; return report(current_device(), 0); }
int aclrtSetStreamFailureMode(void *stream, uint64_t mode) { (void)stream, (void)mode; return OK; }
int aclrtStreamWaitEvent(void *stream, void *event) { (void)stream, (void)event; return OK; }

int aclrtCreateEventExWithFlag(void **event, uint32_t flags) { (void)flags; *event = calloc(1, sizeof(Event)); return OK; }
int aclrtCreateEventWithFlag(void **event, uint32_t flags) { return aclrtCreateEventExWithFlag(event, flags); }
int aclrtDestroyEvent(void *event) { free(event); return OK; }
int aclrtRecordEvent(void *event, void *stream) {
    (void)stream;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(Event *)event = (Event){1, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec};
    return OK;
}
int aclrtResetEvent(void *event, void *stream) { (void)stream; ((Event *)event)->recorded = 0; return OK; }
int aclrtSynchronizeEvent(void *event) { (void)event; return OK; }
/* torch_npu destroys an event once it is said to be recorded, so that must not be said while the recording waits in its queue. */
int aclrtQueryEventStatus(void *event, int *status) { *status = ((Event *)event)->recorded; return OK; }
int aclrtQueryEventWaitStatus(void *event, int *status) { (void)event; *status = 0; return OK; }
int aclrtEventElapsedTime(float *milliseconds, void *start, void *end) {
    const Event *from = start, *to = end;
    if (!from->recorded || !to->recorded) return fail(INVALID, "aclrtEventElapsedTime: an event was not recorded");
    *milliseconds = (float)((double)(int64_t)(to->nanoseconds - from->nanoseconds) / 1e6);
    return OK;
}
int aclrtEventGetTimestamp(void *event, uint64_t *microseconds) { *microseconds = ((Event *)event)->nanoseconds / 1000; return OK; }

/* Host functions in a stream: their turn has come when they are launched. */
int aclrtLaunchCallback(void (*function)(void *), void *data, int blocking, void *stream) {
    (void)blocking, (void)stream;
    function(data);
    return OK;
}
int aclrtLaunchHostFunc(void *stream, void (*function)(void *), void *data) { (void)stream; function(data); return OK; }
int aclrtSubscribeReport(uint64_t thread, void *stream) { (void)thread, (void)stream; return OK; }
int aclrtUnSubscribeReport(uint64_t thread, void *stream) { (void)thread, (void)stream; return OK; }
int aclrtProcessReport(int32_t milliseconds) { struct timespec pause = {0, 1000000}; (void)milliseconds; nanosleep(&pause, NULL); return OK; }
