"""What stands between users and `generate`."""

import io
from contextlib import redirect_stdout

import transformers

from .models import PAD, VOCABULARY, padded, texts
from .support import BOUND, WithCache


class Pipelines(WithCache):
    """What stands between users and generate."""

    def tokenizer(self):
        from tokenizers import Tokenizer, models, pre_tokenizers

        words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w1"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=words, pad_token=f"w{PAD}", padding_side="left"
        )

    def test_pipeline(self) -> None:
        tokenizer = self.tokenizer()
        pipe = transformers.pipeline("text-generation", model=self.model, tokenizer=tokenizer)
        rows = texts(190, 120)
        prompts = [" ".join(f"w{token}" for token in row) for row in rows]
        outputs = pipe(
            prompts, batch_size=2, max_new_tokens=5, do_sample=False, return_full_text=False
        )
        theirs = self.reference.generate(BOUND, **padded(rows), max_new_tokens=5, do_sample=False)
        for output, row in zip(outputs, theirs):
            self.assertEqual(output[0]["generated_text"].split(), [f"w{t}" for t in row[-5:]])

    def test_text_streamer(self) -> None:
        tokenizer, printed = self.tokenizer(), io.StringIO()
        streamer = transformers.TextStreamer(tokenizer, skip_prompt=True)
        ids = texts(190)[0][None]
        with redirect_stdout(printed):
            ours = self.model.generate(ids, max_new_tokens=5, do_sample=False, streamer=streamer)
        self.assertEqual(printed.getvalue().split(), [f"w{t}" for t in ours[0, -5:]])
