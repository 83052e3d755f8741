// SPDX-License-Identifier: Apache-2.0
// A whole firmware in one file: the exported network on TensorFlow Lite Micro, checked with its golden vectors.
//
// `fer-export --int8 --target tflm --out out` writes what is included from out/tflm. On a board, replace `main` by the
// entry point of its SDK, and `printf` by its log; nothing else here knows a platform.

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "fer_int8.h"
#include "fer_int8_golden.h"
#include "fer_int8_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

// What the export measured, and room for the kernels of a board (CMSIS-NN and ESP-NN want scratch memory). Where RAM is
// in a memory of its own, PSRAM for example, give this array the attribute that puts it there.
constexpr std::size_t kArenaBytes = FER_INT8_ARENA_BYTES + 48 * 1024;
alignas(16) std::uint8_t arena[kArenaBytes];

// One face. `face` is what the network takes: see pixels_to_input.
//
// The trap: Invoke() uses the input tensor's memory for later layers, so that afterwards it holds something else. Copy the
// face into it before EVERY Invoke(). A program that fills the tensor once and invokes twice gets kTfLiteOk, and nonsense.
bool classify(tflite::MicroInterpreter& interpreter, const std::int8_t* face, std::int8_t* probabilities) {
  TfLiteTensor* input = interpreter.input(0);
  std::memcpy(input->data.int8, face, input->bytes);
  if (interpreter.Invoke() != kTfLiteOk) return false;
  const TfLiteTensor* output = interpreter.output(0);
  std::memcpy(probabilities, output->data.int8, output->bytes);
  return true;
}

// From a grey face as large as the network's input to its tensor: pixel - 128, in three equal channels.
// A camera's face is first reduced to 48 pixels, then enlarged, as in training: README.md, "From a camera".
[[maybe_unused]] void pixels_to_input(const std::uint8_t* grey, std::size_t n_pixels, std::int8_t* tensor) {
  for (std::size_t i = 0; i < n_pixels; ++i) {
    const std::int8_t value = static_cast<std::int8_t>(static_cast<int>(grey[i]) - 128);
    tensor[3 * i] = tensor[3 * i + 1] = tensor[3 * i + 2] = value;
  }
}

int largest(const std::int8_t* values) {
  int best = 0;
  for (int i = 1; i < FER_INT8_GOLDEN_OUTPUT_LEN; ++i) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

// How many golden vectors this device does not repeat bit for bit; -1 when it cannot compute at all.
int check_golden(tflite::MicroInterpreter& interpreter) {
  int wrong = 0;
  for (int i = 0; i < FER_INT8_GOLDEN_COUNT; ++i) {
    std::int8_t got[FER_INT8_GOLDEN_OUTPUT_LEN];
    const auto* face = reinterpret_cast<const std::int8_t*>(fer_int8_golden_inputs[i]);
    if (!classify(interpreter, face, got)) return -1;
    const bool same = std::memcmp(got, fer_int8_golden_outputs[i], sizeof(got)) == 0;
    const int best = largest(got);
    std::printf("golden vector %d: %s, probability %d/256, %s\n", i, fer_int8_golden_emotions[best], got[best] + 128,
                same ? "identical" : "DIFFERENT");
    wrong += same ? 0 : 1;
  }
  return wrong;
}

}  // namespace

int main() {
  const tflite::Model* model = tflite::GetModel(fer_int8);
  if (model->version() != TFLITE_SCHEMA_VERSION) {
    std::printf("the model has schema %d, expected %d\n", static_cast<int>(model->version()), TFLITE_SCHEMA_VERSION);
    return 1;
  }
  static tflite::MicroMutableOpResolver<FER_INT8_OPERATORS> resolver;
  if (fer_int8_add_operators(resolver) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(model, resolver, arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    std::printf("the arena of %u bytes is too small\n", static_cast<unsigned>(kArenaBytes));
    return 1;
  }
  if (interpreter.input(0)->bytes != FER_INT8_GOLDEN_INPUT_LEN ||
      interpreter.output(0)->bytes != FER_INT8_GOLDEN_OUTPUT_LEN) {
    std::printf("the golden vectors are of another network\n");
    return 1;
  }
  std::printf("arena: %u of %u bytes used\n", static_cast<unsigned>(interpreter.arena_used_bytes()),
              static_cast<unsigned>(kArenaBytes));
  const int wrong = check_golden(interpreter);
  if (wrong != 0) {
    std::printf("%d golden vectors are not repeated: another network, or kernels that round otherwise\n", wrong);
    return 1;
  }
  std::printf("%d golden vectors repeated bit for bit\n", FER_INT8_GOLDEN_COUNT);
  return 0;
}
