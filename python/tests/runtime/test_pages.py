"""Pages of the pool: shared by forks, copied before they are written, refused where there are too
few."""

import random
import unittest

import moa_compile

from .packages import obstacle, package
from .reference import Model
from .test_session import TOLERANCE

REASON = obstacle()


@unittest.skipIf(REASON is not None, REASON)
class Pages(unittest.TestCase):
    def session(self, **options) -> Model:
        arguments = {
            "slots": 4,
            "length_bound": 500,
            "device": "cpu",
            "slots_free": True,
            "rope": "none",
            **options,
        }
        return Model(package().session(**arguments))

    def refused(self, code: str, call) -> str:
        with self.assertRaises(moa_compile.MoaError) as raised:
            call()
        self.assertEqual(raised.exception.code, code)
        self.assertNotEqual(raised.exception.help, "")
        return str(raised.exception)

    def taken(self, model: Model) -> int:
        """Pages that the device has taken of the pool; its launches found no fault."""
        buffers = model.session._buffers.buffers
        self.assertEqual(buffers["error"].int32().tolist(), [0])
        return model.session.usage().pages - buffers["freeCount"].int32().item()

    def test_a_fork_takes_no_page_until_it_writes(self) -> None:
        model = self.session()
        model.add()
        model.packed("prefill", [300, 0, 0, 0])
        held = model.session.usage().held
        self.assertEqual(held, 3 * 2 * 4)
        self.assertEqual(model.session.pages_for(300), held)
        self.assertEqual(model.fork(0), 1)
        usage = model.session.usage()
        self.assertEqual((usage.held, usage.shared), (held, held))
        model.decode()
        # One page of every ring was copied.
        self.assertEqual(model.session.usage().held, held + 6)
        self.assertEqual(self.taken(model), held + 6)
        model.packed("step", [1, 90, 0, 0])
        model.remove(0)
        model.decode()
        self.assertLess(model.worst, TOLERANCE)
        model.remove(1)
        self.assertEqual(
            model.session.usage(),
            moa_compile.session.SessionUsage(usage.pages, 16384, 0, 0, usage.pages),
        )

    def test_a_step_that_does_not_fit_is_refused_and_changes_nothing(self) -> None:
        model = self.session(pages=24)
        model.add()
        model.add()
        model.packed("prefill", [190, 0, 0, 0])
        tensors = model.tensors(100)
        call = lambda: model.session.prefill(0, **tensors, cu_seqlens=[0, 0, 100, 100, 100])
        message = self.refused("MOA6109", call)
        self.assertIn("the new tokens need 12 pages, and 6 of the pool are free", message)
        self.assertEqual(model.session.lengths(0), [190, 0, -1, -1])
        model.decode()
        model.remove(0)
        model.packed("prefill", [0, 100, 0, 0])
        self.assertLess(model.worst, TOLERANCE)

    def test_refusals(self) -> None:
        model = self.session(slots=2)
        session = model.session
        model.add()
        model.packed("prefill", [300, 0])
        self.refused("MOA6107", lambda: session.remove(1))
        self.assertIn(
            "there is no slot 2; the session has 2",
            self.refused("MOA6107", lambda: session.fork(2)),
        )
        self.refused("MOA6110", lambda: session.truncate(0, 301))
        message = self.refused("MOA6110", lambda: session.truncate(0, 200))
        self.assertIn("behind the sink, the ring of KV head 0 in layer", message)
        session.prefill(0, **model.tensors(5), cu_seqlens=[0, 5, 5])
        self.refused("MOA6114", lambda: session.fork(0))
        for layer in (1, 2):
            session.prefill(layer, **model.tensors(5), cu_seqlens=[0, 5, 5])
        session.fork(0)
        self.refused("MOA6108", session.add)
        self.refused("MOA6106", lambda: session.add(length_bound=501))
        decode = lambda: session.decode(0, **model.tensors(2))
        for _ in range(195):
            decode()
        self.assertIn(
            "sequence 0 holds 500 of at most 500 tokens in layer 0; 1 more do not fit",
            self.refused("MOA6101", decode),
        )
        session.close()
        self.refused("MOA6005", lambda: session.lengths(0))

    def test_sequences_that_come_go_and_fork_at_random(self) -> None:
        chosen = random.Random(5)
        model = self.session(pages=36)
        refused = 0
        for _ in range(60):
            slots = list(model.tokens)
            action = chosen.choice(
                ("add", "add", "remove", "fork", "truncate", "step", "step", "step", "step")
            )
            try:
                if action == "add":
                    model.add(length_bound=chosen.choice((100, 300, 500)))
                elif action == "step":
                    bounds, lengths = model.session.length_bounds(), model.session.lengths(0)
                    free = [bound - length for bound, length in zip(bounds, lengths)]
                    counts = [
                        chosen.choice((0, 1, 1, 70, 150)) if slot in slots else 0
                        for slot in range(4)
                    ]
                    model.packed(
                        "step", [min(a, b) for a, b in zip(counts, free)] if slots else [0] * 4
                    )
                elif slots and action == "truncate":
                    slot = chosen.choice(slots)
                    model.truncate(
                        slot, max(0, model.session.lengths(0)[slot] - chosen.choice((0, 1, 40)))
                    )
                elif slots:
                    getattr(model, action)(chosen.choice(slots))
            except moa_compile.MoaError as error:
                self.assertIn(error.code, ("MOA6108", "MOA6109", "MOA6110"))
                refused += 1
            usage = model.session.usage()
            self.assertLessEqual(self.taken(model), usage.held)
            self.assertLessEqual(usage.held, usage.pages)
            self.assertEqual(usage.held + usage.free, usage.pages)
        self.assertLess(model.worst, TOLERANCE)
        self.assertGreater(refused, 0)
