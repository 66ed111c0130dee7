"""What `generate` of an attached model does about its cache.

`generate` calls the private method `_prepare_cache_for_generation` with the length that it may
reach; the model's instance has another one instead. tests/hf pin what it is called with, for
transformers 4.57 and 5. `generate` itself is wrapped, so that a generation that failed or was
cancelled frees its cache at once, and not when its traceback is forgotten."""

import functools
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import ref

from .cache import MoaCache
from .forward import Forwards
from .problems import NotCopied, problem
from .sessions import forget_frames, is_out_of_memory

# "hybrid" is in generation configs of published models: some layers have windows, which a package
# knows.
_OWN_KINDS: Final = (None, "dynamic", "dynamic_full", "hybrid")


class _Made(threading.local):
    """Caches that generations under way in this thread have made, the innermost one's last."""

    def __init__(self) -> None:
        self.caches: list[list[ref[MoaCache]]] = []


class Generations(NotCopied):
    """Generations of one attached model. is_elastic: whether spans of its package depend on the
    length bound."""

    def __init__(self, forwards: Forwards, is_elastic: bool) -> None:
        self._forwards, self._is_elastic = forwards, is_elastic
        self._made = _Made()

    def put_into(self, model: Any) -> None:
        """Gives a model's instance both methods."""
        generate = model.generate
        model._prepare_cache_for_generation = self.prepare_cache
        model.generate = functools.update_wrapper(
            functools.partial(self._generate, generate), generate
        )

    @staticmethod
    def take_from(model: Any) -> None:
        """Takes them back."""
        for name in ("_prepare_cache_for_generation", "generate"):
            model.__dict__.pop(name, None)

    def _generate(self, generate: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        made: list[ref[MoaCache]] = []
        self._made.caches.append(made)
        try:
            return generate(*args, **kwargs)
        except BaseException as error:
            for cache in filter(None, (each() for each in made)):
                cache.content.close("its generation failed")
            if is_out_of_memory(error):
                forget_frames(error)
                # A smaller generation would get the same large session.
                self._forwards.pool.release()
            raise
        finally:
            self._made.caches.pop()

    def prepare_cache(
        self,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        generation_mode: object = None,
        batch_size: int = 1,
        max_cache_length: int = 1,
        *_: Any,
        **__: Any,
    ) -> None:
        """Puts a cache into `model_kwargs`. `max_cache_length`: columns that generation may reach.

        Raises MOA6304 for a cache of another kind, MOA6308 where generation may reach more tokens
        than the bound, or its bound is not known.
        """
        name, fixed = self._forwards.cache_name, self._forwards.length_bound
        kind = generation_config.cache_implementation
        if kind not in _OWN_KINDS:
            raise problem("badCache", f"generate was asked for a cache of kind {kind!r}")
        given = model_kwargs.get(name)
        if given is None and name != "past_key_values":
            given = model_kwargs.pop("past_key_values", None)
        if given is not None:
            model_kwargs[name] = self._checked(given)
            return
        if generation_config.use_cache is False:
            if fixed is None and self._is_elastic:
                raise self._unknown_bound("generation without a cache")
            return
        if fixed is None and getattr(generation_config, "is_assistant", False):
            # Its cache lives over many generations, of a few tokens each.
            raise self._unknown_bound("an assistant model")
        bound = max_cache_length
        if generation_config.prompt_lookup_num_tokens is not None:
            # Candidates are tried beyond the end, too.
            bound += generation_config.prompt_lookup_num_tokens
        if fixed is not None:
            self._check_bound(model_kwargs, max_cache_length, fixed)
            bound = fixed
        copies = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1)
        cache = self._forwards.new_cache(max(1, bound), copies=copies)
        if self._made.caches:
            self._made.caches[-1].append(ref(cache))
        model_kwargs[name] = cache

    def _checked(self, given: object) -> MoaCache:
        cache = self._forwards.check_cache(given)
        # transformers 5 asks for it before it gives a cache back.
        cache._is_user_defined = True
        return cache

    def _check_bound(self, model_kwargs: dict[str, Any], columns: int, bound: int) -> None:
        mask = model_kwargs.get("attention_mask")
        if columns > bound and mask is not None and mask.dim() == 2:
            # Padding does not count.
            columns += int((mask != 0).sum(1).max()) - mask.shape[1]
        if columns > bound:
            message = f"generation may reach {columns} tokens; the length bound is {bound}"
            raise problem("overBound", message)

    @staticmethod
    def _unknown_bound(what: str) -> Exception:
        message = f"the length bound of {what} is not known, and windows follow from it"
        advice = "fix it: moa_compile.attach(model, directory, length_bound=...)"
        return problem("overBound", message, advice)
