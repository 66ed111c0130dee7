"""The launches of a session: which kernel, how many blocks, with which parameters
(docs/package-format.md).

What is legal, and in which order, is the session's.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from .call_checks import Tensors
from .definition import Definition, default_scale
from .device import Device, FoundKernel
from .expressions import evaluate
from .kernel_launch import KernelLaunch
from .prefill_workspace import PrefillWorkspace
from .session_buffers import DecodePlan, LayerState, SessionBuffers
from .session_options import SessionOptions
from .step_tokens import PackedTokens, PlanName, StepTokens

Values = Mapping[str, int | float | bytes]


class Launches:
    """Launches of one session. `planners`: by role."""

    def __init__(
        self,
        device: Device,
        definition: Definition,
        buffers: SessionBuffers,
        options: SessionOptions,
        planners: Mapping[str, FoundKernel],
        workspace: PrefillWorkspace,
    ) -> None:
        self.workspace = workspace
        self._device, self._definition, self._buffers = device, definition, buffers
        self._slots = options.slots
        self._planners = planners
        shape = definition["shape"]
        # A pointer is the buffer of the field's name, and a number the variable or the size of that
        # name.
        self._known: dict[str, int | float | bytes] = {
            **{name: value for name, value in shape.items() if isinstance(value, int)},
            "minSpan": definition["limits"]["minSpan"],
            "pageBytes": definition["layout"]["pageBytes"],
            "minPages": definition["decode"]["minPages"],
            "segmentPages": definition["decode"]["segmentPages"],
            **buffers.sizes.values,
            **buffers.addresses,
            "scale": default_scale(definition) if options.scale is None else options.scale,
            "groupSize": shape["queryHeads"] // shape["kvHeads"],
        }
        zeros = dict.fromkeys(("operation", "slot", "other", "value"), 0)
        self._change = self._prepare(planners["changeSequence"], zeros)
        self._steps: dict[PlanName | None, KernelLaunch] = {}
        self._decodes: dict[tuple[int, int], KernelLaunch] = {}
        self._tiles: dict[tuple[PlanName, int], tuple[int, int]] = {}

    def change_sequence(self, operation: str, slot: int, *, other: int = 0, value: int = 0) -> None:
        """Changes one sequence."""
        self._change.set("operation", self._definition["enums"]["SequenceOperation"][operation])
        self._change.set("slot", slot)
        self._change.set("other", other)
        self._change.set("value", value)
        self._change.launch()

    def step(
        self,
        state: LayerState,
        step: StepTokens,
        plan: PlanName | None,
        tokens: int = 1,
        counts: Sequence[torch.Tensor] = (),
    ) -> None:
        """What comes before the first layer of a step: pages for the new tokens, in all layers, and
        where it decodes, who reads which of them. `tokens`: of a decode, the most new ones of a
        sequence. `counts`: the caller's tensors."""
        prepared = self._steps.get(plan)
        if prepared is None:
            prepared = self._steps[plan] = self._prepare_step(plan)
        prepared.set("lengths", state.addresses["lengths"])
        prepared.set("cuSeqlens", step.cu_seqlens)
        prepared.set("counts", step.counts)
        prepared.set("tokens", step.each)
        if plan is not None:
            tiles, rows = self._tiles_of(plan, tokens)
            prepared.set("tiles", tiles)
            prepared.set("tileRows", rows)
            prepared.set("most", tokens if step.cu_seqlens == 0 else 1)
        prepared.launch(counts)

    def plan_prefill(self, state: LayerState, tokens: PackedTokens) -> None:
        """The work items of a prefill, of all classes of layers."""
        kernel, schedule = state.prefill_kernel, self._definition["prefill"]
        splits = kernel["partialFloats"] > 0 and schedule["byCost"]
        section = int(
            schedule["cacheShare"]
            * self._device.l2_bytes
            / (4 * self._definition["shape"]["headDim"])
        )
        values = {
            **tokens.workspace.for_items(tokens.needs),
            "lengths": state.addresses["lengths"],
            "cuSeqlens": tokens.cu_seqlens,
            "fewest": tokens.fewest,
            "rows": kernel["rows"],
            "blocks": kernel["blocksPerSm"] * self._device.multiprocessors,
            "sectionTokens": min(2**20, section),
            "splitPages": schedule["splitPages"] if splits else 2**31 - 1,
            "splitNumerator": schedule["splitShare"][0],
            "splitDenominator": schedule["splitShare"][1],
            "byCost": int(schedule["byCost"]),
        }
        self._prepare(self._planners["planPrefill"], values).launch()

    def append(
        self,
        state: LayerState,
        tensors: Tensors,
        rows: int,
        cu_seqlens: int,
        *,
        counts: int = 0,
        counted: Sequence[torch.Tensor] = (),
        fewest: int = 1,
        rotated: bool = False,
        only_rotate: bool = False,
    ) -> None:
        """Writes new tokens into their rings, rotated where the session has RoPE, and counts them.

        `rotated`: they were turned before. `only_rotate`: they are turned where they lie, and
        nothing is written.
        """
        found = state.append_rotated if rotated else state.append
        values: dict[str, int | float | bytes] = {
            **state.addresses,
            **tensors.addresses(),
            "cuSeqlens": cu_seqlens,
            "counts": counts,
            "tokens": rows,
            "fewest": fewest,
        }
        if only_rotate:
            if state.addresses["rope"] == 0:
                return
            values["pool"] = 0
        self._prepare(found, values, {"tokens": rows}).launch([*tensors.all(), *counted])

    def prefill(
        self, state: LayerState, tensors: Tensors, tokens: PackedTokens
    ) -> Callable[[], None]:
        """Prefill's attention, as a function that launches it: what it needs is made before, so
        that when this raises nothing was launched."""
        kernel, needs, shape = state.prefill_kernel, tokens.needs, self._definition["shape"]
        expanded = self.workspace.pages() if needs.goes_on and state.expand is not None else None
        values: dict[str, int | float | bytes] = {
            **state.addresses,
            **tensors.addresses(),
            **tokens.workspace.items_of(state.layout.layer_class),
        }
        if expanded is not None:
            values["pool"], values["pageTable"] = expanded
        if any(field["type"] == "tensorMap" for field in state.prefill.params["fields"]):
            for name, tensor, heads in (
                ("queryMap", tensors.q, shape["queryHeads"]),
                ("keyMap", tensors.k, shape["kvHeads"]),
                ("valueMap", tensors.v, shape["kvHeads"]),
            ):
                columns, box = heads * shape["headDim"], self._definition["layout"]["pageTokens"]
                values[name] = self._device.tensor_map(tensor.data_ptr(), tokens.rows, columns, box)
            values.update(tokens.workspace.splits(needs.splits, kernel))
        launch = self._prepare(state.prefill, values, {"items": needs.items})

        def run() -> None:
            if state.expand is not None and expanded is not None:
                own = {**state.addresses, "cuSeqlens": tokens.cu_seqlens, "expanded": expanded[0]}
                self._prepare(state.expand, own).launch()
            launch.launch(tensors.all())

        return run

    def decode(
        self,
        state: LayerState,
        tensors: Tensors,
        plan: PlanName,
        tokens: int,
        early: bool,
        counts: int = 0,
        counted: Sequence[torch.Tensor] = (),
    ) -> None:
        """Appends so many tokens to each sequence and attends. `early`: the launch before wrote
        nothing that this one reads but new tokens. `counts`: on the device, how many rows of each
        sequence are tokens, where not all are."""
        if plan == "many":
            # Rings have the slack for it: the tokens are appended first, and each row masks by its
            # own position.
            ends, rows = self._buffers.token_ends(tokens), self._slots * tokens
            self.append(state, tensors, rows, ends, counts=counts, counted=counted)
        self._launch_decode(
            state, tensors, plan, tokens, early and plan == "one", 0, counts, counted
        )

    def decode_packed(
        self, state: LayerState, tensors: Tensors, cu_seqlens: int, early: bool
    ) -> None:
        """Decode of those sequences of a packed batch that have one new token."""
        self._launch_decode(state, tensors, "one", 1, early, cu_seqlens, 0, ())

    def _launch_decode(
        self,
        state: LayerState,
        tensors: Tensors,
        plan: PlanName,
        tokens: int,
        early: bool,
        cu_seqlens: int,
        counts: int,
        counted: Sequence[torch.Tensor],
    ) -> None:
        key = (state.index, 0 if plan == "one" else tokens)
        prepared = self._decodes.get(key)
        if prepared is None:
            prepared = self._decodes[key] = self._prepare_decode(state, tensors, plan, tokens)
        for name, address in tensors.addresses().items():
            prepared.set(name, address)
        prepared.set("cuSeqlens", cu_seqlens)
        prepared.set("early", int(early))
        if plan == "many":
            prepared.set("counts", counts)
        prepared.launch([*tensors.all(), *counted])

    def _prepare(
        self, found: FoundKernel, values: Values, grid: Mapping[str, int] | None = None
    ) -> KernelLaunch:
        blocks = evaluate(found.definition["grid"], {**self._buffers.sizes.values, **(grid or {})})
        return KernelLaunch(self._device, found, blocks, {**self._known, **values})

    def _prepare_step(self, plan: PlanName | None) -> KernelLaunch:
        found = self._planners["step"]
        names = ("segments", "scratch", "known", "segmentStride", "scratchStride", "blocks")
        values: dict[str, int | float | bytes] = {
            **dict.fromkeys(names, 0),
            **dict.fromkeys(("lengths", "cuSeqlens", "counts", "tokens"), 0),
            **dict.fromkeys(("tiles", "tileRows", "most"), 1),
        }
        if plan is None:
            return self._prepare(found, values, {"decodeClasses": 0})
        workspace = self._plan(plan)
        values.update(workspace.sizes.values)
        values.update(workspace.addresses)
        values["tokens"] = 0
        return self._prepare(
            found, values, {"decodeClasses": self._buffers.sizes.values["classes"]}
        )

    def _prepare_decode(
        self, state: LayerState, tensors: Tensors, plan: PlanName, tokens: int
    ) -> KernelLaunch:
        workspace = self._plan(plan)
        found = state.decode if plan == "one" else state.decode_many
        assert found is not None, "internal error: the session has the kernel"
        stride = workspace.sizes.stride("segments")
        segments = workspace.buffers["segments"].address + state.layout.layer_class.index * stride
        values: dict[str, int | float | bytes] = {
            **workspace.sizes.values,
            **state.addresses,
            **tensors.addresses(),
            **dict.fromkeys(("cuSeqlens", "early", "counts"), 0),
            "segments": segments,
            "tokens": tokens,
        }
        return self._prepare(found, values, workspace.sizes.values)

    def _plan(self, plan: PlanName) -> DecodePlan:
        workspace = self._buffers.plans[plan]
        assert workspace is not None, "internal error: the session has workspace for the plan"
        return workspace

    def _tiles_of(self, plan: PlanName, tokens: int) -> tuple[int, int]:
        """Sizes of the plan of a decode of so many tokens, which has the memory of that of the
        most."""
        found = self._tiles.get((plan, tokens))
        if found is None:
            values = self._plan(plan).sizes.having(decodeTokens=tokens).values
            found = self._tiles[plan, tokens] = values["tiles"], values["tileRows"]
        return found
