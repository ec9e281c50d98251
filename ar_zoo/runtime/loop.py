"""The loop that draws events from exported graphs: all that a host in another language has to write.

    for each block (an image's row; a model without blocks has none):
        begin_block(the symbols of the block before)      → its new states; the links of the whole block
    where a beginning is known: prefill_N(N symbols)      → states, as after N steps
    for each site:
        copy this site's links and delay-line taps in
        sample_step(symbols before, noise of this site)   → symbols, new states
        keep the new states: replace, append at `index`, or push

States live in the graphs' own input arrays, which keep their values from run to run, and delay lines in rings here.
Everything that is copied in a step is a pair (destination, source) of arrays that is made once.
"""

from __future__ import annotations

import numpy as np

from ar_zoo.core.known import nothing

_NONE = np.empty((0, 0), np.float32)


class Loop:
    """Runs `sample_step` (or `step`) and `begin_block` over the sites of a batch.

    Args:
        manifest: what `artifact.read_manifest` gave.
        step: the `Graph` of the step.
        begin_block: the `Graph` of `begin_block`, or `None`.
        larger: a function that gives the `Loop` that goes on when the keys and values of this step are full, or `None`.
    """

    def __init__(self, manifest, step, begin_block=None, larger=None):
        self._larger, self._slots = larger, float("inf")
        self.step, self.begin_block, self._states = step, begin_block, manifest["states"]
        self.block_size = manifest["block_sizes"][0] if manifest["block_sizes"] else None
        self._batch = manifest["batch_size"]
        self._site_shape = tuple(manifest["site_shape"])
        self._fills = []  # (array, value at the start of an event)
        self._replace = []  # after a step: State
        self._taps = []  # before a step: DelayLine
        self._push = []  # after a step: DelayLine, and KeyValue, whose queue never comes round
        self._links = []  # before a step: Link
        self._homes = {}  # state → the step's own array of it, or the queue's entries
        self._into_block, self._from_block = [], []  # before and after begin_block
        for name, state in manifest["states"].items():
            if state["kind"] == "DelayLine":
                self._plan_delay_line(name, state)
            elif state["kind"] == "KeyValue":
                self._plan_key_value(name, state)
            elif state["kind"] == "Link":
                self._plan_link(name, state)
            else:
                self._plan_state(name, state)

    def _plan_state(self, name, state):
        here, there = self.step.inputs.get(name), self._block_array("inputs", name)
        home = there if here is None else here
        self._fills += [(array, state["fill"]) for array in (here, there) if array is not None]
        self._homes[name] = home
        stepped, begun = self.step.outputs.get(name), self._block_array("outputs", name)
        if stepped is not None and home is not None:
            self._replace.append((home, stepped))
            if there is not None and there is not home:
                self._into_block.append((there, home))
        if begun is not None:
            self._from_block += [(array, begun) for array in (here, there) if array is not None]

    def _plan_key_value(self, name, state):
        here, there = self.step.inputs.get(f"{name}_held"), self._block_array("inputs", f"{name}_held")
        home, new = there if here is None else here, self.step.outputs.get(f"{name}_new")
        if home is None:
            return
        axis = state["axis"] + 1
        self._fills.append((home, state["fill"]))
        self._homes[name] = np.moveaxis(home, axis, 0)
        self._slots = len(self._homes[name])
        if there is not None and there is not home:
            self._into_block.append((there, home))
        if new is not None:
            entries = list(self._homes[name])
            self._push.append((entries, np.moveaxis(new, axis, 0)[0], len(entries)))

    def _plan_delay_line(self, name, state):
        depth = max(state["taps"])
        ring = np.zeros((depth, self._batch, *state["shape"]), state["dtype"])
        self._fills.append((ring, 0))
        entries = list(ring)  # arrays made once: looking one up in a list is faster than indexing the ring
        self._homes[name] = entries
        taps = self.step.inputs.get(f"{name}_taps")
        if taps is not None:
            self._taps += [(taps[:, place], entries, tap, depth) for place, tap in enumerate(state["taps"])]
        self._push.append((entries, self.step.outputs[f"{name}_push"], depth))

    def _plan_link(self, name, state):
        site, again = self.step.inputs.get(f"{name}_site"), self._block_array("inputs", f"{name}_block")
        block = self._block_array("outputs", f"{name}_block")
        if again is not None:
            self._fills.append((again, state["fill"]))
            self._from_block.append((again, block))
        if site is not None:
            # Sites of a block share its places evenly: two channels of a pixel, one place.
            share = self.block_size // state["size"]
            self._links.append((site, list(np.moveaxis(block, 1, 0)), share))

    def _block_array(self, group, name):
        return getattr(self.begin_block, group).get(name) if self.begin_block is not None else None

    def run(self, x, known, start, inputs, site_inputs, chunks=(), draw=None, first=0):
        """Goes through the sites of a batch, and yields each site's number when its outputs are there.

        Args:
            x: int32, of continuous data float32, [B, sites, *site_shape], known symbols; drawn ones are written into it.
            known: bool [B, sites], which symbols are kept.
            start: the first site that matters: whole blocks and chunks before it are not stepped through.
            inputs: name → value, what stays the same for all sites (contexts, temperature).
            site_inputs: name → [sites, …], what differs (noise).
            chunks: graphs of `prefill_N`, that may read what is known.
            first: where to go on, after `reset` and `read`; 0 starts afresh.
            draw: a function of (the step's parameters, a site's number) that gives symbols, in place of the graph's own.

        Example:
            >>> for site in loop.run(x, known, 0, {"temperature": 1.0}, {"noise": noise}):
            ...     print(x[:, site])
        """
        if self._larger is not None and start >= self._slots:
            yield from self._larger().run(x, known, start, inputs, site_inputs, chunks, draw, first)
            return
        step, size = self.step, self.block_size
        if first == 0:
            self.reset(inputs)
        prev, index_in = step.inputs.get("prev"), step.inputs.get("index")
        symbols = step.outputs.get("symbols")
        # Views made once: making them anew takes half a microsecond a site.
        prev_here, drawn_here = (array if array is None else array[:, 0] for array in (prev, symbols))
        sites = list(np.moveaxis(x, 1, 0))
        each = [(step.inputs[name], list(value)) for name, value in site_inputs.items() if name in step.inputs]
        kept, some_kept = known.reshape(known.shape + (1,) * len(self._site_shape)), known.any(axis=0).tolist()
        for graph in sorted(chunks, key=lambda graph: -graph.inputs["prev"].shape[1]):
            while first + graph.inputs["prev"].shape[1] <= start:
                first += self.read(graph, x, first, inputs)
        for index in range(first, x.shape[1]):
            if index == self._slots and self._larger is not None:
                larger = self._larger()
                larger.reset(inputs)
                larger.take_over(self)
                yield from larger.run(x, known, start, inputs, site_inputs, (), draw, index)
                return
            if size:
                place = index % size
                if place == 0:
                    self._begin(index, x[:, index - size : index])
                if index - place + size <= start:
                    continue
                for into, block, share in self._links:
                    into[...] = block[place // share]
            for into, entries, tap, depth in self._taps:
                into[...] = entries[(index - tap) % depth]
            for into, value in each:
                into[...] = value[index]
            if prev_here is not None:
                prev_here[...] = sites[index - 1] if index else nothing(prev.dtype)
            if index_in is not None:
                index_in[...] = index
            step.run()
            for mine, new in self._replace:
                mine[...] = new
            for entries, new, depth in self._push:
                entries[index % depth][...] = new
            if symbols is not None or draw is not None:
                drawn = drawn_here if draw is None else draw(step.outputs["params"], index)
                sites[index][...] = np.where(kept[:, index], x[:, index], drawn) if some_kept[index] else drawn
            yield index

    def read(self, graph, x, index, inputs) -> int:
        """Goes through several known sites at once, from `index` on, with a graph of `prefill_N` or `verify_K`.

        Returns:
            how many.
        """
        size = graph.inputs["prev"].shape[1]
        before = x[:, max(index - 1, 0) : index + size - 1]
        graph.inputs["prev"][:, :1] = nothing(x.dtype)
        graph.inputs["prev"][:, size - before.shape[1] :] = before
        for name, value in {"index": index, **inputs}.items():
            if name in graph.inputs:
                graph.inputs[name][...] = value
        for name, state in self._states.items():
            home = self._homes.get(name)
            if state["kind"] == "DelayLine":
                # A last layer's queue may not matter to what comes out.
                for place, into in enumerate(np.moveaxis(graph.inputs.get(f"{name}_history", _NONE), 1, 0)):
                    into[...] = home[(index + place) % len(home)]
            elif state["kind"] == "KeyValue":
                if f"{name}_held" in graph.inputs:
                    np.moveaxis(graph.inputs[f"{name}_held"], state["axis"] + 1, 0)[: len(home)] = home
            elif name in graph.inputs:
                graph.inputs[name][...] = home
        graph.run()
        for name, state in self._states.items():
            home = self._homes.get(name)
            if state["kind"] == "DelayLine":
                for place, new in enumerate(np.moveaxis(graph.outputs[f"{name}_pushes"], 1, 0)):
                    home[(index + place) % len(home)][...] = new
            elif state["kind"] == "KeyValue":
                if home is not None and f"{name}_new" in graph.outputs:
                    home[index : index + size] = np.moveaxis(graph.outputs[f"{name}_new"], state["axis"] + 1, 0)
            elif name in graph.outputs:
                home[...] = graph.outputs[name]
        return size

    def take_over(self, other):
        """Takes the states of a loop with fewer slots for keys and values, which are full."""
        for name, home in other._homes.items():
            for mine, theirs in zip(self._homes[name], home, strict=False) if home is not None else ():
                mine[...] = theirs

    def reset(self, inputs):
        """Makes everything ready for the first site."""
        for array, value in self._fills:
            array[...] = value
        for graph in (self.step, self.begin_block):
            for name, value in inputs.items():
                if graph is not None and name in graph.inputs:
                    graph.inputs[name][...] = value

    def _begin(self, index, before):
        inputs = self.begin_block.inputs
        for there, mine in self._into_block:
            there[...] = mine
        if "prev" in inputs:
            inputs["prev"][...] = before if index else nothing(before.dtype)
        if "index" in inputs:
            inputs["index"][...] = index
        self.begin_block.run()
        for into, new in self._from_block:
            into[...] = new
