/* Initialisation, versions, properties and options; and what the real runtime has and this one refuses, by name. */
#include "cann.h"
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

int aclInit(const char *configuration) {
    (void)configuration;
    static int initialised;
    const char *on = getenv("ASSAY_EMULATOR"), *real[] = {"/dev/davinci_manager", "/usr/local/Ascend/driver"};
    for (int i = 0; i < 2; i++)
        if (!access(real[i], F_OK)) return fail(FAILED, "a real Ascend is on this machine (%s): the emulator stays away", real[i]);
    if (!on || strcmp(on, "1")) return fail(FAILED, "this is a stand-in for CANN, and it is not switched on: eval \"$(python -m emulator env)\"");
    /* Results are made before they are copied to the device. Memory for them is kept: to map it anew each time takes longer than to compute. */
    mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, INT_MAX);
    int code = start_python();
    if (!code) code = wait_without_lock();
    if (!code && initialised++) code = 100002; /* ACL_ERROR_REPEAT_INITIALIZE */
    return code;
}
int aclFinalize(void) { return OK; }

/* The A2 (910B) takes the paths that most users' code takes. */
const char *aclrtGetSocName(void) { return text("ASSAY_EMULATOR_SOC", "Ascend910B2"); }

/* torch_npu 2.13 goes with CANN 9.0; the driver's version says what this is. */
static const char *version_of(const char *package) { return strcmp(package, "driver") ? "9.0.0" : "0.0.0"; }
int aclsysGetVersionStr(char *package, char *version) { strcpy(version, version_of(package)); return OK; }
int aclsysGetCANNVersion(int package, void *version) {
    struct { char version[128], parts[4][64], reserved[128]; } *it = version;
    memset(it, 0, sizeof *it);
    strcpy(it->version, version_of(package == 7 ? "driver" : ""));
    for (int i = 0; i < 3; i++) it->parts[i][0] = it->version[2 * i];
    return OK;
}

int aclGetDeviceCapability(uint32_t device, int what, int64_t *value) {
    (void)device;
    *value = what == 0 ? 24 : what == 1 ? 48 : 192 << 20; /* cube cores, vector cores, level-2 cache of an A2 */
    return OK;
}
int aclrtGetDeviceUtilizationRate(int32_t device, int32_t *rates) { (void)device; memset(rates, 0, 4 * sizeof *rates); return OK; }
int aclrtDeviceGetBareTgid(int32_t *process) { *process = (int32_t)getpid(); return OK; }
int aclrtDeviceGetUuid(int32_t device, char *uuid) { snprintf(uuid, 16, "emulated-%d", device); return OK; }
int aclrtGetLastError(int level) { (void)level; return OK; }
int aclrtPeekAtLastError(int level) { (void)level; return OK; }
int aclrtSetOpExecuteTimeOut(uint32_t seconds) { (void)seconds; return OK; }
int aclrtSetOpWaitTimeout(uint32_t seconds) { (void)seconds; return OK; }
int aclrtGetLogicDevIdByUserDevId(int32_t user, int32_t *logical) { *logical = user; return OK; }

/* What changes arithmetic: read by behaviour.py. Saturation is mode 0, INF_NAN mode 1 (aclrtFloatOverflowMode). */
static int overflow_mode = 1;
static int64_t options[32];
int aclrtSetStreamOverflowSwitch(void *stream, uint32_t on) { (void)stream, (void)on; return OK; } /* nobody asks for the flag but graph operators */
int aclrtSetDeviceSatMode(int mode) { overflow_mode = mode; return OK; }
int assay_overflow_mode(void) { return overflow_mode; }
int aclrtSetSysParamOpt(int option, int64_t value) { if (option >= 0 && option < 32) options[option] = value; return OK; }
int aclrtCtxSetSysParamOpt(int option, int64_t value) { return aclrtSetSysParamOpt(option, value); }
int aclrtGetSysParamOpt(int option, int64_t *value) { *value = option >= 0 && option < 32 ? options[option] : 0; return OK; }

/* Options of the graph operators' compiler, which is not here. */
int aclSetCompileopt(int option, const char *value) { (void)option, (void)value; return OK; }
size_t aclGetCompileoptSize(int option) { (void)option; return sizeof "disable"; }
int aclGetCompileopt(int option, char *value, size_t size) { (void)option; snprintf(value, size, "disable"); return OK; }

/* Graph operators (aclop) are the old way; what goes it is refused, and never passed over: success here would be a silent no-op.
 * Exceptions: Identity, which npu_format_cast needs between formats that lie in memory alike, which are all that exist here; and copies. */
static int64_t bytes_of(const Handle *it) {
    int64_t bytes = dtype_bytes(it->dtype);
    for (int64_t i = 0; i < it->ndim; i++) bytes *= it->dims[i];
    return bytes;
}

static int row_by_row(int32_t format) { return format == 0 || format == 2 || format == 30; } /* aclFormat: NCHW, ND, NCDHW */

static int identity(const Handle *from, const Handle *in, const Handle *to, const Handle *out, int device) {
    int64_t bytes = bytes_of(from);
    if (from->format != to->format && !(row_by_row(from->format) && row_by_row(to->format)))
        return refuse("Identity"), fail(UNSUPPORTED, "graph operator Identity is not emulated from format %d to %d", from->format, to->format);
    if (from->dtype != to->dtype || bytes != bytes_of(to) || bytes > in->size || bytes > out->size) return fail(INVALID, "Identity: sizes or types differ");
    if (!bytes) return OK;
    if (device_of(in->data) != device || device_of(out->data) != device || !living(in->data, (size_t)bytes) || !living(out->data, (size_t)bytes))
        return fail(FAILED, "Identity: reaches outside the device's allocated memory");
    memmove(out->data, in->data, (size_t)bytes);
    written(out->data, (size_t)bytes, OPERATOR);
    __atomic_add_fetch(&statistics.operators, 1, __ATOMIC_RELAXED);
    return OK;
}

int aclopCompileAndExecute(const char *type, int inputs, const Handle *const from[], const Handle *const in[], int outputs, const Handle *const to[],
                           Handle *const out[], const void *attributes, int engine, int compile, const char *path, void *stream) {
    (void)engine, (void)compile, (void)path;
    int device = stream_device(stream);
    if (skips(device)) return OK;
    if (!strcmp(type, "Identity") && inputs == 1 && outputs == 1) return kept(device, identity(from[0], in[0], to[0], out[0], device));
    if (rearranges(type)) return kept(device, rearrange(type, inputs, from, in, outputs, to, out, attributes));
    refuse(type);
    return kept(device, fail(UNSUPPORTED, "graph operator %s is not emulated", type));
}
int aclopCompileAndExecuteV2(const char *type, int inputs, Handle *from[], Handle *in[], int outputs, Handle *to[], Handle *out[], void *attributes,
                             int engine, int compile, const char *path, void *stream) {
    return aclopCompileAndExecute(type, inputs, (const Handle *const *)from, (const Handle *const *)in, outputs, (const Handle *const *)to, out, attributes,
                                  engine, compile, path, stream);
}
void *aclopCreateAttr(void) { return new_handle(ATTRIBUTES); }
void aclopDestroyAttr(void *attributes) { free_handle(attributes); }
int aclopSetAttrBool(void) { return OK; }
int aclopSetAttrDataType(void) { return OK; }
int aclopSetAttrFloat(void) { return OK; }
int aclopSetAttrInt(Handle *attributes, const char *name, int64_t value) { /* all that is asked: whether a slice has masks that mean something */
    if (strcmp(name, "shrink_axis_mask")) attributes->size |= value;
    return OK;
}
int aclopSetAttrListBool(void) { return OK; }
int aclopSetAttrListFloat(void) { return OK; }
int aclopSetAttrListInt(void) { return OK; }
int aclopSetAttrListListInt(void) { return OK; }
int aclopSetAttrString(void) { return OK; }
Handle *aclCreateTensorDesc(int32_t dtype, int ndim, const int64_t *dims, int32_t format) {
    Handle *it = new_handle(DESCRIPTION);
    if (!it || ndim > MOST_DIMS) return NULL;
    it->dtype = dtype, it->format = format, it->ndim = ndim;
    if (ndim) memcpy(it->dims, dims, (size_t)ndim * sizeof *dims);
    return it;
}
void aclDestroyTensorDesc(Handle *it) { free_handle(it); }
void aclSetTensorDescName(Handle *it, const char *name) { (void)it, (void)name; }
int aclSetTensorFormat(Handle *it, int32_t format) { it->format = format; return OK; }
int aclSetTensorPlaceMent(Handle *it, int place) { (void)it, (void)place; return OK; }
int aclSetTensorShape(Handle *it, int ndim, const int64_t *dims) { (void)it, (void)ndim, (void)dims; return OK; }
int aclGetTensorDescType(const Handle *it) { return it->dtype; }
int aclGetTensorDescFormat(const Handle *it) { return it->format; }
size_t aclGetTensorDescNumDims(const Handle *it) { return (size_t)it->ndim; }
int aclGetTensorDescDimV2(const Handle *it, size_t at, int64_t *dim) { *dim = it->dims[at]; return OK; }
Handle *aclCreateDataBuffer(void *data, size_t bytes) {
    Handle *it = new_handle(BUFFER);
    if (it) it->data = data, it->size = (int64_t)bytes;
    return it;
}
int aclDestroyDataBuffer(Handle *it) { free_handle(it); return OK; }

/* Bookkeeping of operators that this runtime has no use for. */
void aclAppLog(void) {}
int InitHugeMemThreadLocal(void *a, _Bool b) { (void)a, (void)b; return OK; }
void UnInitHugeMemThreadLocal(void *a, _Bool b) { (void)a, (void)b; }
void ReleaseHugeMem(void *a, _Bool b) { (void)a, (void)b; }
int aclmdlInitDump(void) { return OK; }
int aclmdlSetDump(const char *path) { (void)path; return OK; }
int aclmdlFinalizeDump(void) { return OK; }
int MsprofRegisterCallback(void) { return OK; }
int MsprofReportApi(void) { return OK; }
int MsprofReportCompactInfo(void) { return OK; }
int MsprofReportAdditionalInfo(void) { return OK; }
uint64_t MsprofGetHashId(void) { return 0; }
uint64_t MsprofSysCycleTime(void) { return 0; }
