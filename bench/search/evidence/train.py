"""Trains a small Llama from scratch on associative retrieval (task.py), within a budget of time.

    python train.py --output model --seconds 240

Sequences get longer each time that the model answers nine of ten asks of a batch. After the longest, and in the last quarter of the budget in any
case, lengths alternate, and in that quarter the learning rate falls along a cosine. The folder gets what save_pretrained writes, in bf16, and
training.json: the options, the curve, and accuracy by length on fresh sequences.

With --steps the budget is a number of steps, and the run depends on nothing but its options and the device.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from task import Batch, Retrieval, Vocabulary, lengths_of

OTHER_WEIGHT = 0.1
PASS_ACCURACY = 0.9
DECAY_FROM = 0.75
LAST_RATE = 0.02
WARM_UP_STEPS = 100
LOOK_EVERY = 10
FINAL_SEED = 30001


def make_model(options: argparse.Namespace, vocabulary: Vocabulary) -> LlamaForCausalLM:
    torch.manual_seed(options.seed)
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=options.hidden,
        intermediate_size=2 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.kv_heads,
        head_dim=options.hidden // options.heads,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": options.rope_theta},
        initializer_range=options.init,
        tie_word_embeddings=options.tie,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def loss_and_accuracy(logits: torch.Tensor, tokens: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scalars: the weighted mean loss that is minimised, the mean loss of the answers in nats, and the part of answers that is right.

    logits: [samples, N, vocabulary]; tokens: int64 and answers: bool, [samples, N]. Position p predicts token p + 1.
    """
    flat = logits[:, :-1].flatten(0, 1).float()
    target, is_answer = tokens[:, 1:].flatten(), answers[:, 1:].flatten().float()
    losses = torch.nn.functional.cross_entropy(flat, target, reduction="none")
    weights = OTHER_WEIGHT + (1 - OTHER_WEIGHT) * is_answer
    right = (flat.argmax(1) == target).float()
    count = is_answer.sum()
    return (losses * weights).sum() / weights.sum(), (losses.detach() * is_answer).sum() / count, (right * is_answer).sum() / count


class MasterAdamW:
    """AdamW on float32 copies of the parameters; the model itself may be bf16. Matrices decay, norms do not."""

    def __init__(self, model: torch.nn.Module, rate: float, decay: float, beta2: float) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.masters = [parameter.detach().clone().float() for parameter in self.parameters]
        groups = [
            {"params": [master for master in self.masters if master.dim() > 1], "weight_decay": decay},
            {"params": [master for master in self.masters if master.dim() == 1], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, lr=rate, betas=(0.9, beta2), fused=True)

    def step(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.masters)


class Curriculum:
    """Which length comes next: each of `lengths` until it is passed, then `mixed` in turn."""

    def __init__(self, lengths: list[int], mixed: list[int]) -> None:
        self.lengths, self.mixed = lengths, mixed
        self.stage = 0

    def length(self, step: int, progress: float) -> int:
        if self.stage >= len(self.lengths) or progress >= DECAY_FROM:
            return self.mixed[step % len(self.mixed)]
        return self.lengths[self.stage]

    def look(self, length: int, accuracy: float) -> None:
        if self.stage < len(self.lengths) and length == self.lengths[self.stage] and accuracy >= PASS_ACCURACY:
            self.stage += 1


def rate_at(top: float, step: int, progress: float) -> float:
    """Rises over the first steps, then constant, then a cosine from DECAY_FROM to the end of the budget."""
    decayed = min(max(progress - DECAY_FROM, 0) / (1 - DECAY_FROM), 1)
    fall = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * decayed))
    return top * fall * min((step + 1) / WARM_UP_STEPS, 1)


def compile_layers(model: LlamaForCausalLM) -> None:
    """Compiles the code of a layer once for all layers, samples and lengths; what cannot be compiled runs as it is."""
    import torch._dynamo
    import torch.fx.experimental._config

    torch.fx.experimental._config.use_duck_shape = False  # samples may equal the hidden size at one length and not at the next
    torch._dynamo.config.suppress_errors = True
    for layer in model.model.layers:
        layer.compile(dynamic=True)


def train(options: argparse.Namespace) -> dict:
    """Trains, saves, and returns what training.json holds."""
    begin = time.monotonic()
    vocabulary = Vocabulary(options.keys, options.values, options.fillers)
    data = Retrieval(vocabulary, options.seed, options.device)
    model = make_model(options, vocabulary).to(options.device, getattr(torch, options.dtype)).train()
    optimizer = MasterAdamW(model, options.rate, options.decay, options.beta2)
    score = loss_and_accuracy
    if options.compile:
        compile_layers(model)
        score = torch.compile(loss_and_accuracy, dynamic=True)

    curriculum = Curriculum(options.lengths, options.mixed)
    curve: list[dict] = []
    said = -math.inf
    step, tokens, progress = 0, 0, 0.0
    while progress < 1:
        length = curriculum.length(step, progress)
        batch = data.batch(max(options.tokens_per_step // length, 1), length)
        loss, answer_loss, accuracy = score(model(input_ids=batch.tokens).logits, batch.tokens, batch.answers())
        loss.backward()
        optimizer.step(rate_at(options.rate, step, progress))
        tokens += batch.tokens.numel()
        if step % LOOK_EVERY == 0:  # .item() waits for the device, so the clock is right here
            point = {"step": step, "length": length, "loss": loss.item(), "answerLoss": answer_loss.item(), "accuracy": accuracy.item()}
            point["seconds"] = round(time.monotonic() - begin, 2)
            point["tokens"] = tokens
            curve.append(point)
            curriculum.look(length, point["accuracy"])
            if point["seconds"] - said >= options.say_every:
                said = point["seconds"]
                say(point)
        step += 1
        progress = step / options.steps if options.steps else (time.monotonic() - begin) / options.seconds
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = round(time.monotonic() - begin, 2)

    final = final_accuracy(model, options, vocabulary)
    model.to(torch.bfloat16).save_pretrained(options.output)
    settings = {name: value for name, value in sorted(vars(options).items()) if name != "output"}
    report = {"options": settings, "parameters": model.num_parameters(), "steps": step, "tokens": tokens, "seconds": seconds}
    report |= {"final": final, "curve": curve}
    Path(options.output, "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def say(point: dict) -> None:
    print(
        f"step {point['step']:5d}  {point['seconds']:6.1f} s  length {point['length']:4d}  loss {point['loss']:.4f}"
        f"  answers {point['answerLoss']:.4f}  accuracy {point['accuracy']:.4f}  {point['tokens'] / point['seconds'] / 1e3:.0f} k tokens/s",
        file=sys.stderr,
        flush=True,
    )


@torch.no_grad()
def final_accuracy(model: LlamaForCausalLM, options: argparse.Namespace, vocabulary: Vocabulary) -> list[dict]:
    """Accuracy and mean loss of the answers, of fresh sequences of each length of the curriculum."""
    data = Retrieval(vocabulary, FINAL_SEED)
    model.eval()
    for layer in model.model.layers:
        layer._compiled_call_impl = None  # compiling once more, without gradients, would take longer than this does
    final = []
    for length in sorted(set(options.lengths + options.mixed)):
        batch = data.batch(max(options.tokens_per_step // length, 1), length)
        batch = Batch(batch.tokens.to(options.device), batch.sources.to(options.device))
        _, loss, accuracy = loss_and_accuracy(model(input_ids=batch.tokens).logits, batch.tokens, batch.answers())
        final.append({"length": length, "samples": len(batch.tokens), "answerLoss": loss.item(), "accuracy": accuracy.item()})
        print(f"length {length:4d}  answers {loss.item():.4f}  accuracy {accuracy.item():.4f}", file=sys.stderr, flush=True)
    return final


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="Trains a small Llama from scratch on associative retrieval.")
    parser.add_argument("--output", required=True, help="the model's folder")
    parser.add_argument("--seconds", type=float, default=240, help="budget of time, compilation included")
    parser.add_argument("--steps", type=int, default=0, help="budget of steps in its place")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if on_gpu else "float32", choices=["bfloat16", "float32"])
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=on_gpu, help="torch.compile of the layers and the loss")
    parser.add_argument("--say-every", type=float, default=4, help="seconds between lines of the log")
    parser.add_argument("--lengths", type=lengths_of, default=[256, 512, 1024, 2048, 4096], help="the curriculum")
    parser.add_argument("--mixed", type=lengths_of, default=[1024, 2048, 4096], help="the lengths after it")
    parser.add_argument("--tokens-per-step", type=int, default=98304)
    parser.add_argument("--rate", type=float, default=1e-3, help="the learning rate")
    parser.add_argument("--decay", type=float, default=0.05, help="weight decay of matrices")
    parser.add_argument("--beta2", type=float, default=0.95)
    parser.add_argument("--init", type=float, default=0.02, help="standard deviation of the first weights")
    parser.add_argument("--tie", action=argparse.BooleanOptionalAction, default=False, help="one matrix for embedding and logits")
    parser.add_argument("--rope-theta", type=float, default=500000.0)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--keys", type=int, default=512)
    parser.add_argument("--values", type=int, default=128)
    parser.add_argument("--fillers", type=int, default=254)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    train(parse())
