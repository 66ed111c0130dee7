# %% [markdown]
# # From a plan to text, without a GPU
#
# A small random Llama gets a plan, the plan becomes a package, and the model runs on it:
# `generate`, batches, and a bare session. On a CPU the kernels are emulated, so it is slow, and
# the same code runs on a GPU. Open it as a notebook (VS Code and Jupyter take `# %%` as cells),
# or run it:
#
#     python3 examples/python/tour.py
#
# It needs Node and the compiler (`npm start` in the checkout, or `moa-compile` on PATH), a C++20
# compiler, and moa_compile with transformers: `pip install './python[hf]'`.

# %%
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import moa_compile
import torch
import transformers
from moa_compile.search.masked import masked_attention

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.manual_seed(0)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FOLDER = Path(tempfile.mkdtemp(prefix="moa-tour-"))

# %% [markdown]
# ## A model
#
# Two layers, four query heads that share two KV heads. A token is a character, so it needs no
# tokenizer. Its weights are random, and so is what it writes.

# %%
CHARACTERS = "".join(map(chr, range(32, 127)))


def tokens_of(text: str) -> list[int]:
    return [CHARACTERS.index(each) for each in text]


def text_of(tokens: list[int]) -> str:
    return "".join(CHARACTERS[each] for each in tokens)


config = transformers.LlamaConfig(
    vocab_size=len(CHARACTERS),
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=1024,
    initializer_range=0.15,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)
model = transformers.LlamaForCausalLM(config).to(DEVICE, torch.bfloat16).eval()
model.requires_grad_(False)
model.save_pretrained(FOLDER / "model")
print(f"model: {sum(each.numel() for each in model.parameters())} parameters in {FOLDER / 'model'}")

# %% [markdown]
# ## A plan
#
# Each query head keeps `alpha + beta * N` tokens of a sequence of at most N: the first 64, and a
# window of the newest. In layer 0 two heads keep half of the sequence and two keep 128 tokens,
# whatever N is; layer 1 keeps 192 everywhere. `moa-compile search` finds such a plan by profiling
# a model; here it is written by hand.

# %%
plan = {
    "format": "moa-plan",
    "version": 1,
    "sink": 64,
    "model": {"name": "tour", "layers": 2, "queryHeads": 4, "kvHeads": 2, "headDim": 64},
    "alphas": [[0, 0, 128, 128], [192, 192, 192, 192]],
    "betas": [[0.5, 0.5, 0, 0], [0, 0, 0, 0]],
}
(FOLDER / "plan.json").write_text(json.dumps(plan))

# %% [markdown]
# ## A package
#
# The compiler writes CUDA sources, and machine code where there is a GPU, for which it needs nvcc.
# `--model` tells it the model's shape, RoPE and windows.

# %%
HERE = Path(globals().get("__file__", "here")).resolve()
checkout = next((each for each in HERE.parents if (each / "bin/moa-compile.js").exists()), None)
compiler = ["moa-compile"] if checkout is None else ["node", str(checkout / "bin/moa-compile.js")]
target = ["--arch", "native"] if DEVICE == "cuda" else ["--arch", "sm_80", "--emit", "ir,cuda,ts"]
subprocess.run(
    [*compiler, "plan.json", "--model", "model", "-o", "package", "-q", *target],
    cwd=FOLDER,
    check=True,
)
print("package:", ", ".join(sorted(each.name for each in (FOLDER / "package").iterdir())))

# %% [markdown]
# ## Text
#
# `attach`, and the unedited model attends by the plan. The length bound fixes N, so that text does
# not depend on how much of it is asked for. The cache has what the plan keeps, and no more.

# %%
BOUND = 400
prompt = tokens_of("Attention is a window, and the first tokens. " * 7)
moa_compile.attach(model, FOLDER / "package", length_bound=BOUND)
ids = torch.tensor([prompt], device=DEVICE)
text = model.generate(ids, max_new_tokens=24, do_sample=False)
new = text[0, len(prompt) :].tolist()
print(f"{len(prompt)} tokens of a prompt, then {text_of(new)!r}")
package = moa_compile.load(FOLDER / "package")
memory = package.memory(slots=1, length_bound=BOUND)
print(f"cache: {memory.cache >> 10} KiB; a dense one takes {memory.dense >> 10} KiB")

# %% [markdown]
# Are these the tokens that the mask of the plan means? The same model without our kernels, each
# head masked by hand: its most likely next token has to be the one that was generated, but where
# two are as good as equal.

# %%
moa_compile.detach(model)


def span(alpha: int, beta: float) -> int:
    kept = max(min(int(alpha + beta * BOUND), BOUND), 128)
    return -(-kept // 64) * 64


rules = [list(zip(*rows, strict=True)) for rows in zip(plan["alphas"], plan["betas"], strict=True)]
windows = [[span(alpha, beta) - plan["sink"] for alpha, beta in heads] for heads in rules]


def most_likely(prompt: list[int], new: list[int]) -> int:
    """How many of the new tokens are the most likely ones under the mask of the plan."""
    ids = torch.tensor([prompt + new[:-1]], device=DEVICE)
    with masked_attention(model, windows, plan["sink"]):
        logits = model(ids).logits[0, len(prompt) - 1 :].float().cpu()
    chosen = logits.gather(1, torch.tensor(new)[:, None])[:, 0]
    # Logits in bf16 are known to some 2^-7 of the largest.
    tie = 2**-5 * float(logits.abs().max())
    assert float((logits.max(-1).values - chosen).max()) <= tie, "the text is of another mask"
    return int((logits.argmax(-1) == torch.tensor(new)).sum())


equal = most_likely(prompt, new)
print(f"{equal} of {len(new)} tokens are the most likely ones under the mask of the plan")

# %% [markdown]
# ## Many prompts
#
# `generate_batch` is continuous batching: prompts that begin alike share the pages of their common
# beginning, which is fed once. Here the pool has fewer pages than the sequences need at last, so
# the youngest one is preempted: it gives its pages back, waits, and is fed again.
#
# `choose` picks the next tokens. Ours takes the most likely ones, as is the default, and notes for
# which prompts it was asked: the chart shows every fourth step.

# %%
moa_compile.attach(model, FOLDER / "package", length_bound=BOUND)
common = tokens_of("Requests often begin alike, with one long instruction for all of them. " * 2)
prompts = [common + tokens_of(ending) for ending in ("One.", "The next", "3", "The last one")]
NEW = 120
with package.session(slots=1, length_bound=BOUND, dtype=torch.bfloat16, device=DEVICE) as alone:
    most = [alone.pages_for(len(prompt) + NEW - 1) for prompt in prompts]
asked: list[list[int]] = []


def choose(logits: torch.Tensor, numbers: list[int]) -> torch.Tensor:
    asked.append(list(numbers))
    return logits.argmax(-1)


pages = sum(most) // 2
options = {"max_new_tokens": NEW, "slots": 5, "pages": pages, "budget": 64, "choose": choose}
batch = list(moa_compile.generate_batch(model, prompts, **options))
moa_compile.detach(model)
for generated in batch:
    print(f"prompt {generated.prompt}: {text_of(generated.tokens[:40])!r}...")
print(f"{len(prompts)} sequences alone take {sum(most)} pages; the pool has {pages}")
for number in range(len(prompts)):
    steps = "".join("#" if number in each else "." for each in asked[::4])
    print(f"prompt {number}: {steps}")
equal = sum(most_likely(prompt, each.tokens) for prompt, each in zip(prompts, batch, strict=True))
print(f"{equal} of {NEW * len(prompts)} tokens are the most likely ones under the mask of the plan")

# %% [markdown]
# ## A bare session
#
# Below models there are sessions over torch tensors: prefill, forks that share every page until
# they write, decode steps that are captured once and replayed. Query, key and value are what your
# model computes.

# %%
heads, kv_heads, head_dim = 4, 2, 64


def random_tensors(tokens: int) -> list[torch.Tensor]:
    sizes = (heads, kv_heads, kv_heads, heads)
    return [torch.randn(tokens, size, head_dim).to(DEVICE, torch.bfloat16) for size in sizes]


session = package.session(
    slots=3, length_bound=BOUND, dtype=torch.bfloat16, device=DEVICE, slots_free=True
)
prefix = session.add()
for layer in range(2):
    session.prefill(layer, *random_tensors(300), cu_seqlens=[0, 300, 300, 300])
held = session.usage().held
samples = [prefix, session.fork(prefix), session.fork(prefix)]
print(f"300 tokens hold {held} pages; three sequences of them {session.usage().held}")

tensors = [random_tensors(3) for _ in range(2)]
with session.graph() as step:
    for layer in range(2):
        session.decode(layer, *tensors[layer])
for _ in range(5):
    step.replay()
usage, memory = session.usage(), session.memory
print(f"after five tokens each: lengths {session.lengths(0)}")
print(f"{usage.held} pages are held, {usage.shared} of them shared")
print(f"the cache of the plan has {memory.cache / memory.dense:.2f} of the bytes of a dense one")
session.close()
shutil.rmtree(FOLDER)
