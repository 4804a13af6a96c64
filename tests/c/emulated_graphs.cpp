/* The emulation's streams while they capture: what is kept, and what fails as it does with CUDA. */
#include "cuda.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {
#include <cmocka.h>
}

__global__ void add_kernel(int *x, int by) {
  if (threadIdx.x == 0) *x += by;
}

static cudaStream_t stream, other;
static int *number;

static int read_number(void) {
  HfDeviceAccess access;
  return *number;
}
static void add(int by) { HF_LAUNCH(add_kernel, 1, 32, 0, stream, number, by); }
static void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed) { assert_int_equal(cudaStreamBeginCapture(stream, mode), cudaSuccess); }

static int set_up(void **) {
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  return cudaMalloc((void **)&number, sizeof *number) == cudaSuccess && cudaMemsetAsync(number, 0, sizeof *number, stream) == cudaSuccess ? 0 : -1;
}

/* The capture is spoiled: launches fail, and it ends without a graph; the stream works afterwards. */
static void expect_spoiled(void) {
  cudaGraph_t graph;
  cudaGetLastError();
  add(1);
  assert_int_equal(cudaPeekAtLastError(), cudaErrorStreamCaptureInvalidated);
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  assert_null(graph);
  cudaGetLastError();
  int before = read_number();
  add(5);
  assert_int_equal(read_number(), before + 5);
  assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
}

static cudaGraphExec_t end(size_t nodes) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  size_t count;
  assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  assert_int_equal(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
  assert_int_equal(count, nodes);
  assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  cudaGraphDestroy(graph);
  return exec;
}

static void test_launches(void **) {
  int by = 2, before = read_number();
  begin();
  add(by);
  by = 100; /* arguments are those of the launch */
  cudaMemcpyAsync(number + 0, number, sizeof *number, cudaMemcpyDeviceToDevice, stream);
  add(3);
  assert_int_equal(read_number(), before);
  cudaGraphExec_t exec = end(3);
  assert_int_equal(read_number(), before);
  for (int i = 1; i <= 3; i++) {
    assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
    assert_int_equal(read_number(), before + 5 * i);
  }
  cudaGraphExecDestroy(exec);
}

static void test_waiting_spoils(void **) {
  cudaEvent_t event;
  cudaGraphExec_t exec;
  begin();
  assert_int_equal(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
  begin();
  assert_int_equal(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  begin();
  cudaEventRecord(event, stream);
  assert_int_equal(cudaEventSynchronize(event), cudaErrorCapturedEvent);
  expect_spoiled();
  begin();
  add(1);
  exec = end(1);
  begin();
  assert_int_equal(cudaGraphLaunch(exec, stream), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
  begin();
  assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaErrorIllegalState);
  cudaGetLastError();
  cudaGraphExecDestroy(end(0));
  cudaGraphExecDestroy(exec);
}

static void test_copies(void **) {
  int pageable = 7, *pinned;
  begin();
  assert_int_equal(cudaMemcpyAsync(number, &pageable, sizeof pageable, cudaMemcpyHostToDevice, stream), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
  cudaMallocHost((void **)&pinned, sizeof *pinned);
  begin();
  assert_int_equal(cudaMemcpyAsync(number, pinned, sizeof *pinned, cudaMemcpyHostToDevice, stream), cudaSuccess);
  cudaGraphExec_t exec = end(1);
  for (*pinned = 40; *pinned < 43; ++*pinned) { /* read at each launch */
    cudaGraphLaunch(exec, stream);
    assert_int_equal(read_number(), *pinned);
  }
  cudaGraphExecDestroy(exec);
}

/* Another stream goes on, and waits; memory can be had in a relaxed capture only. */
static void test_beside(void **) {
  int nine = 9;
  void *block;
  begin();
  assert_int_equal(cudaMemcpyAsync(number, &nine, sizeof nine, cudaMemcpyHostToDevice, other), cudaSuccess);
  assert_int_equal(cudaStreamSynchronize(other), cudaSuccess);
  assert_int_equal(read_number(), 9);
  assert_int_equal(cudaMalloc(&block, 64), cudaSuccess);
  assert_int_equal(cudaFree(block), cudaSuccess);
  cudaGraphExecDestroy(end(0));
  begin(cudaStreamCaptureModeGlobal);
  assert_int_equal(cudaMalloc(&block, 64), cudaErrorStreamCaptureUnsupported);
  expect_spoiled();
}

static void test_freed_memory(void **) {
  int *block;
  cudaMalloc((void **)&block, sizeof *block);
  begin();
  HF_LAUNCH(add_kernel, 1, 32, 0, stream, block, 1);
  cudaGraphExec_t exec = end(1);
  cudaGraphLaunch(exec, stream);
  cudaFree(block);
  pid_t child = fork();
  if (child == 0) {
    freopen("/dev/null", "w", stderr);
    cudaGraphLaunch(exec, stream);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  cudaGraphExecDestroy(exec);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_launches), cmocka_unit_test(test_waiting_spoils), cmocka_unit_test(test_copies),
                                     cmocka_unit_test(test_beside), cmocka_unit_test(test_freed_memory)};
  return cmocka_run_group_tests(tests, set_up, nullptr);
}
