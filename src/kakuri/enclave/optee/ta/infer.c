/* From boundary values to answers, as many samples as one call brings.

   Guarantees: each sample is copied, then checked (every number finite), then computed; only KK_ANSWER leaves: all of
   the outputs, the outputs rounded, or the label alone. */
#include <string.h>

#include "trusted.h"

static int all_finite(const unsigned char *values, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 4) {
        uint32_t bits;
        memcpy(&bits, values + at, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u)
            return 0;
    }
    return 1;
}

static int compute(void)
{
    static const size_t input_sizes[] = KK_INPUT_SIZES, output_sizes[] = KK_OUTPUT_SIZES;
    const void *inputs[KK_INPUTS];
    void *outputs[KK_OUTPUTS];
    size_t at = 0;
    for (int i = 0; i < KK_INPUTS; at += input_sizes[i++])
        inputs[i] = kk_memory.inputs + at;
    at = 0;
    for (int i = 0; i < KK_OUTPUTS; at += output_sizes[i++])
        outputs[i] = kk_memory.outputs + at;
    return kk_infer(inputs, outputs, kk_memory.arena, sizeof kk_memory.arena, kk_memory.weights, KK_WEIGHTS_BYTES);
}

#if KK_ANSWER == KK_ANSWER_LABEL
enum { ANSWER_BYTES = 4 };
static void answer(unsigned char *to)
{
    const float *scores = (const float *)(const void *)kk_memory.outputs;
    uint32_t best = 0;
    for (uint32_t i = 1; i < KK_OUTPUT_BYTES / sizeof *scores; i++)
        if (scores[i] > scores[best])
            best = i;
    memcpy(to, &best, sizeof best);
}
#else
enum { ANSWER_BYTES = KK_OUTPUT_BYTES };
static void answer(unsigned char *to)
{
#if KK_ANSWER == KK_ANSWER_ROUNDED
    float *scores = (float *)(void *)kk_memory.outputs;
    for (size_t i = 0; i < KK_OUTPUT_BYTES / sizeof *scores; i++) {
        float scaled = scores[i] * KK_ROUND_STEPS;
        if (scaled > -8388608.0f && scaled < 8388608.0f) /* beyond, a float has no places behind the point */
            scores[i] = (float)(int32_t)(scaled + (scaled < 0 ? -0.5f : 0.5f)) / KK_ROUND_STEPS;
    }
#endif
    memcpy(to, kk_memory.outputs, KK_OUTPUT_BYTES);
}
#endif

TEE_Result kk_infer_all(const unsigned char *shared, size_t bytes, unsigned char *answers, size_t *answer_bytes)
{
    size_t count = bytes / KK_INPUT_BYTES;
    if (!shared || count == 0 || bytes % KK_INPUT_BYTES)
        return TEE_ERROR_BAD_PARAMETERS;
    if (!answers || *answer_bytes / ANSWER_BYTES < count) {
        if (count > SIZE_MAX / ANSWER_BYTES)
            return TEE_ERROR_BAD_PARAMETERS;
        *answer_bytes = count * ANSWER_BYTES;
        return TEE_ERROR_SHORT_BUFFER;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(kk_memory.inputs, shared + i * KK_INPUT_BYTES, KK_INPUT_BYTES);
        if (!all_finite(kk_memory.inputs, KK_INPUT_BYTES))
            return TEE_ERROR_BAD_FORMAT;
        if (compute() || !all_finite(kk_memory.outputs, KK_OUTPUT_BYTES))
            return TEE_ERROR_OVERFLOW;
        answer(answers + i * ANSWER_BYTES);
    }
    *answer_bytes = count * ANSWER_BYTES;
    return TEE_SUCCESS;
}
