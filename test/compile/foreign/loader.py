"""A loader of packages in another language: it reads definition.json, as docs/package-format.md says, and runs prompts
and decode of a session of all layers, whose q and k come rotated. `device` allocates, writes and launches."""
import json
import struct

FORMATS = {"int32": "i", "uint32": "I", "float32": "f", "uint8": "B", "uint16": "H", "int64": "q", "pointer": "Q"}


def integers(values):
    return struct.pack("<%di" % len(values), *values)


def flat(values):
    return [number for row in values for number in (flat(row) if isinstance(row, list) else [row])]


def value(e, v):
    """The value of an expression, with variables `v`."""
    kind = e["kind"]
    if kind in ("constant", "variable"):
        return e["value"] if kind == "constant" else v[e["name"]]
    if kind == "span":
        rule, limits, n = e["rule"], e["limits"], v["N"]
        tokens = (rule["alpha"] * rule["denominator"] + rule["numerator"] * n) // rule["denominator"]
        return -(-max(min(tokens, n), limits["minSpan"]) // limits["page"]) * limits["page"]
    if "operand" in e:
        a = value(e["operand"], v)
        if kind == "roundUp":
            return -(-a // e["multiple"]) * e["multiple"]
        return a * e["by"] if kind == "multiply" else a // e["by"]
    a, b = value(e["left"], v), value(e["right"], v)
    return {"add": a + b, "subtract": a - b, "product": a * b, "min": min(a, b), "max": max(a, b)}[kind]


class Session:
    def __init__(self, folder, device, element_type, slots, bound):
        self.device, self.plan = device, json.load(open(folder + "/definition.json"))
        plain = [k for k in self.plan["kernels"] if not k["rope"] and "tokens" not in k]
        self.kernels = {k["role"]: k for k in plain if k["elementType"] == element_type}
        self.of_layer, sinks = self.plan["tables"]["layerClass"], self.plan["tables"]["sinks"]
        # The page table: layer after layer, in each slot after slot, in each ring after ring.
        rings, pages = [{} for _ in sinks], [0 for _ in sinks]
        for c, layer in {c: layer for c, layer in zip(self.of_layer, self.plan["layers"])}.items():
            for ring in layer["rings"]:
                for head in ring["kvHeads"]:
                    rings[c][head] = pages[c]
                    pages[c] += value(self.plan["expressions"][ring["pages"]], {"N": bound})
        self.first, entries = [], 0
        for c in self.of_layer:
            self.first.append(entries)
            entries += slots * pages[c]
        decode, shape, different = self.kernels["decode"], self.plan["shape"], sorted(set(sinks))
        self.v = {**shape, **self.plan["limits"], **self.plan["layout"], **self.plan["decode"], "slots": slots,
                  "layers": len(self.of_layer), "classes": len(sinks), "sinkCount": len(different), "entries": entries,
                  "pages": entries, "multiprocessors": device.multiprocessors, "blocksPerSm": decode["blocksPerSm"],
                  "decodeTokens": 1, "partialFloats": decode["partialFloats"], "scale": shape["headDim"] ** -0.5}
        places = flat([[rings[c][head] for head in range(shape["kvHeads"])] + [pages[c]] for c in range(len(sinks))])
        layers = [{"firstEntry": e, "classIndex": c, "sink": sinks[c]} for e, c in zip(self.first, self.of_layer)]
        self.sets, self.strides = {}, {}
        self.make("session", ringPlaces=integers(places), pagedLayers=self.structs("PagedLayer", layers),
                  planClasses=integers(range(len(sinks))), classSinks=integers(sinks), sinks=integers(different))
        self.make("decode")
        self.change("begin", 0, bound=self.v["pages"])

    def structs(self, name, records):
        facts = self.plan["structs"][name]
        data = bytearray(facts["bytes"] * len(records))
        for number, record in enumerate(records):
            for field in facts["fields"]:
                at = number * facts["bytes"] + field["offset"]
                struct.pack_into("<" + FORMATS[field["type"]], data, at, record[field["name"]])
        return data

    def make(self, set_name, **contents):
        """Makes a set of buffers. One that only a host can fill, and that has no content here, is not needed."""
        facts, self.sets[set_name] = self.plan["buffers"][set_name], {}
        for name, size in facts["sizes"].items():
            self.v[name] = value(size, self.v)
        for name, buffer in facts["buffers"].items():
            initial, element, stride = buffer["initial"], buffer["element"], 1
            if initial["kind"] == "host" and name not in contents:
                continue
            count, *inner = [value(size, self.v) for size in buffer["shape"]]
            for size in inner:
                stride *= size
            if initial["kind"] == "range":
                numbers = [value(initial["first"], self.v) + n * initial["step"] for n in range(count * stride)]
                contents[name] = struct.pack("<%d%s" % (len(numbers), FORMATS[element]), *numbers)
            elif initial["kind"] == "table":
                contents[name] = integers(flat(self.plan["tables"][initial["name"]]))
            structs = self.plan["structs"]
            stride *= structs[element]["bytes"] if element in structs else struct.calcsize(FORMATS[element])
            if initial["kind"] == "bytes":
                contents[name] = bytes([initial["value"]]) * (count * stride)
            self.strides[name], self.sets[set_name][name] = stride, self.device.allocate(count * stride)
            self.device.write(self.sets[set_name][name], contents.get(name, b""))

    def at(self, set_name, name, index):
        return self.sets[set_name][name] + index * self.strides[name]

    def launch(self, kernel, set_name="decode", grid={}, **values):
        """A parameter is one of `values`, or the buffer or the variable of its name."""
        facts, ticket = self.plan["params"][kernel["params"]], self.sets["decode"]["tickets"]
        known = {**self.v, "ticket": ticket, **self.sets["session"], **self.sets[set_name], **values}
        params = bytearray(facts["bytes"])
        for field in facts["fields"]:
            struct.pack_into("<" + FORMATS[field["type"]], params, field["offset"], known[field["name"]])
        blocks = value(kernel["grid"], {**self.v, **grid})
        self.device.launch(kernel["name"], blocks, kernel["threads"], kernel["sharedBytes"], params)

    def change(self, operation, slot, bound=0, other=0):
        number = self.plan["enums"]["SequenceOperation"][operation]
        self.launch(self.plan["planners"]["changeSequence"], operation=number, slot=slot, value=bound, other=other)

    def step(self, tokens, cu_seqlens, classes):
        grid = {"decodeClasses": classes}
        self.launch(self.plan["planners"]["step"], grid=grid, tokens=tokens, cuSeqlens=cu_seqlens, counts=0, most=1)

    def run(self, role, layer, tensors, **values):
        c, shape = self.of_layer[layer], self.plan["shape"]
        own = {name: self.at("session", name, c) for name in ("rings", "windows")}
        own["lengths"], own["segments"] = self.at("session", "lengths", layer), self.at("decode", "segments", c)
        own["pageTable"] = self.at("session", "pageTable", self.first[layer])
        own["sink"], own["groupSize"] = self.plan["layers"][layer]["sink"], shape["queryHeads"] // shape["kvHeads"]
        none = dict(lse=0, rope=0, ropeShift=0, kvScales=0, counts=0, early=0, fewest=1)
        self.launch(self.kernels[role], **{**none, **own, **tensors, **values})

    def decode(self, layers):
        """`layers`: of each q, k, v and out, with a row for each slot."""
        self.step(1, 0, self.v["classes"])
        for layer, tensors in enumerate(layers):
            self.run("decode", layer, tensors, cuSeqlens=0)

    def prefill(self, ends, holds, layers):
        """`ends`: where each slot's tokens begin, and the end of the last; `holds`: some are not the first ones."""
        kernel, size = self.kernels["prefill"], self.plan["structs"]["PrefillPlanSize"]
        ends_at = self.sets["session"]["cuSeqlens"]
        blocks_of_rows = sum(-(-(end - begin) // kernel["rows"]) for begin, end in zip(ends, ends[1:]))
        self.v.update(tokens=ends[-1], items=self.v["queryHeads"] * blocks_of_rows, parts=0, threads=kernel["threads"])
        self.device.write(ends_at, integers(ends))
        self.step(0, ends_at, 0)
        self.make("prefill")
        blocks = kernel["blocksPerSm"] * self.v["multiprocessors"]
        sizes = dict(rows=kernel["rows"], blocks=blocks, capacity=self.v["items"])
        order = dict(byCost=1, sectionTokens=2 ** 16, splitPages=2 ** 31 - 1, splitNumerator=0, splitDenominator=1)
        self.launch(self.plan["planners"]["planPrefill"], "prefill", fewest=1, **sizes, **order)
        count = next(field["offset"] for field in size["fields"] if field["name"] == "count")
        for layer, tensors in enumerate(layers):
            items, sizes = (self.at("prefill", name, self.of_layer[layer]) for name in ("items", "sizes"))
            # New tokens may take the place of those that they attend, so they are written last.
            for role in ("prefill", "append") if holds else ("append", "prefill"):
                self.run(role, layer, tensors, items=items, itemCount=sizes + count)
