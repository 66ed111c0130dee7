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
# It needs Node and the compiler (`npm install` in the checkout, or `moa-compile` on PATH), a
# C++20 compiler, torch and transformers, and `pip install ./python` or `PYTHONPATH=python`.

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
# Two layers, four query heads that share two KV heads. Its tokens are bytes, so it needs no
# tokenizer.

# %%
config = transformers.LlamaConfig(
    vocab_size=256,
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
    pad_token_id=0,
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
# The compiler prints CUDA sources, and machine code where nvcc and a GPU are. `--model` tells it
# the model's shape, RoPE and windows.

# %%
ROOT = Path(__file__).resolve().parents[2] if "__file__" in globals() else Path.cwd()
installed = shutil.which("moa-compile")
compiler = [installed] if installed else ["node", str(ROOT / "bin/moa-compile.js")]
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
# One call, and the unedited model attends by the plan. The length bound fixes N, so that text
# does not depend on how much of it is asked for.

# %%
BOUND = 400
prompt = torch.tensor([list(b"Attention is a window, and the first tokens. " * 7)], device=DEVICE)
moa_compile.attach(model, FOLDER / "package", length_bound=BOUND)
text = model.generate(prompt, max_new_tokens=24, do_sample=False)
new = text[0, prompt.shape[1] :].tolist()
print(f"{prompt.shape[1]} tokens of a prompt, then {bytes(new)!r}")

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
with masked_attention(model, windows, plan["sink"]):
    logits = model(text[:, :-1]).logits[0, prompt.shape[1] - 1 :].float()
best = logits.max(-1).values
chosen = logits.gather(1, torch.tensor(new, device=DEVICE)[:, None])[:, 0]
equal = int((logits.argmax(-1).cpu() == torch.tensor(new)).sum())
print(f"{equal} of {len(new)} tokens are the most likely ones under the mask of the plan")
assert float((best - chosen).max()) <= 2**-5 * float(logits.abs().max()), "another mask"

# %% [markdown]
# ## Many prompts
#
# Continuous batching on a pool with fewer pages than all sequences would need: prompts wait, the
# youngest sequence gives its pages back when the pool is full, and the common beginning is stored
# once.

# %%
moa_compile.attach(model, FOLDER / "package", length_bound=BOUND)
common = list(b"Requests often begin alike, with one long instruction for all of them. " * 2)
prompts = [
    common + list(ending)
    for ending in (b"One", b"Another one", b"The third of five", b"4", b"Last")
]
package = moa_compile.load(FOLDER / "package")
with package.session(slots=1, length_bound=BOUND, dtype=torch.bfloat16, device=DEVICE) as alone:
    each = alone.pages_for(len(prompts[0]) + 12)
    pages = 3 * each
batch = moa_compile.generate_batch(
    model, prompts, max_new_tokens=12, slots=6, pages=pages, budget=64
)
for generated in batch:
    print(f"prompt {generated.prompt}: {bytes(generated.tokens)!r}")
print(f"a pool of {pages} pages; five sequences alone would take {5 * each}")
moa_compile.detach(model)

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
    q, k, v, out = random_tensors(300)
    ends = [0, 300, 300, 300]
    session.prefill(layer, q, k, v, out, cu_seqlens=ends)
held = session.usage().held
samples = [prefix, session.fork(prefix), session.fork(prefix)]
print(f"300 tokens hold {held} pages; three sequences of them {session.usage().held}")

tensors = [random_tensors(3) for _ in range(2)]
with session.graph() as step:
    for layer, (q, k, v, out) in enumerate(tensors):
        session.decode(layer, q, k, v, out)
for _ in range(5):
    step.replay()
usage, memory = session.usage(), session.memory
print(f"after five tokens each: lengths {session.lengths(0)}")
print(f"{usage.held} pages are held, {usage.shared} of them shared")
print(f"the cache of the plan has {memory.cache / memory.dense:.2f} of the bytes of a dense one")
session.close()
shutil.rmtree(FOLDER)
