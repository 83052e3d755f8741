"""Headers that look like TensorFlow Lite Micro to ``examples/tflm``, and behave like it where the example must know.

The fake interpreter answers a golden vector with its recorded output, anything else with nonsense, and like the real
one it overwrites its input.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_fake_tflm"]

_FILES = {
    "tensorflow/lite/schema/schema_generated.h": """
#pragma once
#define TFLITE_SCHEMA_VERSION 3
namespace tflite {
struct Model { int version() const { return 3; } };
inline const Model* GetModel(const void* data) { return static_cast<const Model*>(data); }
}
""",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """
#pragma once
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
#define TF_LITE_ENSURE_STATUS(call) do { if ((call) != kTfLiteOk) return kTfLiteError; } while (0)
namespace tflite {
template <unsigned N> class MicroMutableOpResolver {
 public:
  TfLiteStatus AddConv2D() { return Add(); }
  TfLiteStatus AddDepthwiseConv2D() { return Add(); }
  TfLiteStatus AddAdd() { return Add(); }
  TfLiteStatus AddMean() { return Add(); }
  TfLiteStatus AddPad() { return Add(); }
  TfLiteStatus AddFullyConnected() { return Add(); }
  TfLiteStatus AddSoftmax() { return Add(); }
  bool full() const { return n_ == N; }
 private:
  TfLiteStatus Add() { return n_++ < N ? kTfLiteOk : kTfLiteError; }
  unsigned n_ = 0;
};
}
""",
    "tensorflow/lite/micro/micro_interpreter.h": """
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include "fer_int8_golden.h"
#include "fer_int8_operators.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
struct TfLiteTensor { union { int8_t* int8; } data; size_t bytes; };
namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroMutableOpResolver<FER_INT8_OPERATORS>& r, uint8_t* arena, size_t bytes)
      : r_(r), arena_(arena), bytes_(bytes) {}
  TfLiteStatus AllocateTensors() {
    if (bytes_ < FER_INT8_ARENA_BYTES || !r_.full() || reinterpret_cast<uintptr_t>(arena_) % 16) return kTfLiteError;
    input_.data.int8 = reinterpret_cast<int8_t*>(arena_);
    input_.bytes = FER_INT8_GOLDEN_INPUT_LEN;
    output_.data.int8 = input_.data.int8 + input_.bytes;
    output_.bytes = FER_INT8_GOLDEN_OUTPUT_LEN;
    return kTfLiteOk;
  }
  TfLiteTensor* input(int) { return &input_; }
  TfLiteTensor* output(int) { return &output_; }
  size_t arena_used_bytes() const { return FER_INT8_ARENA_BYTES; }
  TfLiteStatus Invoke() {
    std::memset(output_.data.int8, 0, output_.bytes);
    for (int i = 0; i < FER_INT8_GOLDEN_COUNT; ++i)
      if (!std::memcmp(input_.data.int8, fer_int8_golden_inputs[i], input_.bytes))
        std::memcpy(output_.data.int8, fer_int8_golden_outputs[i], output_.bytes);
    std::memset(input_.data.int8, 77, input_.bytes);
    return kTfLiteOk;
  }
 private:
  const MicroMutableOpResolver<FER_INT8_OPERATORS>& r_;
  uint8_t* arena_;
  size_t bytes_;
  TfLiteTensor input_, output_;
};
}
""",
}


def write_fake_tflm(folder: Path) -> None:
    """Write the headers below a folder."""
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
