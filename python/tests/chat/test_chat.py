"""Conversations with a tiny random model on the emulator."""

import contextlib
import io
import unittest
import unittest.mock

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from moa_compile.chat.command import COMMAND
from moa_compile.chat.conversation import Conversation
from moa_compile.chat.replies import CacheBytes, Replies, ReplyTimes
from moa_compile.chat.terminal import converse, stats
from moa_compile.command_line.run import run_commands

from ..hf.models import PLAN, VOCABULARY, compiled, config_of, tiny_model
from ..hf.support import Attached
from ..runtime.packages import scratch

TEMPLATE = (
    "{% for message in messages %}<{{ message.role[0] }}>{{ message.content }}<e>\n{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
# As templates of models that think: what lies before `|` in an earlier reply is dropped.
FORGETS = TEMPLATE.replace("message.content", "message.content.split('|')[-1]")


def tokenizer(template: str = TEMPLATE) -> transformers.PreTrainedTokenizerFast:
    """A token for each character of ASCII that comes here; the last ones are a pair of letters,
    which no text is split into, and marks of a template."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    signs = [" ", "\n", ".", ",", "?", "|", *"0123456789"]
    marks = ["<s>", "<u>", "<a>", "<e>", "<pad>", "ab"]
    words = [*marks, *letters, *signs]
    inner = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    assert len(words) < VOCABULARY
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<e>", pad_token="<pad>", unk_token="?"
    )
    made.add_special_tokens({"additional_special_tokens": marks[:3]})
    made.chat_template = template
    return made


class Tokens(unittest.TestCase):
    def test_a_reply_keeps_its_tokens(self) -> None:
        # "ab" is one token of the model's, and would be two of the text.
        words = tokenizer()
        pair = words.convert_tokens_to_ids("ab")
        conversation = Conversation(words, system="be kind")
        ids, continues = conversation.ask("hi")
        self.assertEqual(words.decode(ids), "<s>be kind<e>\n<u>hi<e>\n<a>")
        self.assertFalse(continues)
        self.assertEqual(conversation.answer("hi", ids, [pair]), "ab")
        following, continues = conversation.ask("so")
        self.assertTrue(continues)
        self.assertEqual(following[: len(ids) + 1], [*ids, pair])
        self.assertEqual(words.decode(following[len(ids) + 1 :]), "<e>\n<u>so<e>\n<a>")
        self.assertEqual(conversation.tokens, len(ids) + 1)

    def test_a_template_that_trims(self) -> None:
        words = tokenizer(TEMPLATE.replace("message.content", "message.content.strip()"))
        conversation = Conversation(words)
        ids, _ = conversation.ask("hi")
        reply = words(" yes\n", add_special_tokens=False)["input_ids"]
        conversation.answer("hi", ids, reply)
        following, continues = conversation.ask("so")
        self.assertTrue(continues)
        self.assertEqual(words.decode(following), "<u>hi<e>\n<a> yes\n<e>\n<u>so<e>\n<a>")

    def test_one_text(self) -> None:
        words = tokenizer()
        conversation = Conversation(words, "once.", is_chat=False)
        ids, continues = conversation.ask("it was")
        self.assertEqual((words.decode(ids), continues), ("once.\nit was", False))
        conversation.answer("it was", ids, words(" so,", add_special_tokens=False)["input_ids"])
        following, continues = conversation.ask("and then")
        self.assertTrue(continues)
        self.assertEqual(words.decode(following), "once.\nit was so,\nand then")

    def test_a_template_that_rewrites_what_was_said(self) -> None:
        words = tokenizer(FORGETS)
        conversation = Conversation(words)
        ids, _ = conversation.ask("hi")
        conversation.answer("hi", ids, words("hm|yes", add_special_tokens=False)["input_ids"])
        following, continues = conversation.ask("so")
        self.assertFalse(continues)
        self.assertEqual(words.decode(following), "<u>hi<e>\n<a>yes<e>\n<u>so<e>\n<a>")


class Chats(Attached):
    def setUp(self) -> None:
        super().setUp()
        self.model, self.reference = self.attached(length_bound=400)
        self.words = tokenizer()
        self.model.generation_config.eos_token_id = self.words.eos_token_id

    def replies(self, **options) -> Replies:
        settings = {"length_bound": 400, "new_tokens": 30, **options}
        return Replies(self.model, self.words, options={"do_sample": False}, **settings)

    def talk(self, text: str, **options) -> tuple[list[str], Replies]:
        replies, out = self.replies(**options), io.StringIO()
        converse(replies, io.StringIO(text), out)
        return out.getvalue().split("\n"), replies

    def test_turns_continue_one_cache(self) -> None:
        """Replies are those of the whole conversation, generated at once."""
        replies = self.replies()
        for question in ("what is it?", "and then, the other one?", "x" * 150):
            ids, _ = replies._conversation.ask(question)
            shown: list[str] = []
            text = replies.reply(question, shown.append)
            whole = self.reference.generate(
                400, input_ids=torch.tensor([ids]), max_new_tokens=30, do_sample=False
            )
            told = replies._conversation._ids
            self.same_text(torch.tensor([told]), whole[:, : len(told)], self.reference, 400)
            self.assertEqual("".join(shown), text)
            times = replies.last
            self.assertIsNotNone(times)
            self.assertLess(times.prompt, len(question) + 20)
            self.assertGreater(times.first_s, 0)
        self.assertLessEqual(replies.bytes().tokens, replies._conversation.tokens)

    def test_the_loop(self) -> None:
        lines, _ = self.talk("/stats\nhello\n/stats\n\n/what\n//x\nand \\\nmore\n/reset\n/stats\n")
        text = "\n".join(lines)
        self.assertTrue(lines[0].startswith("there was no reply yet"))
        self.assertRegex(
            text, r"last reply    \d+ tokens; the first \d+\.\d\d s after \d+ new ones"
        )
        self.assertRegex(text, r"conversation  \d+ of at most 400 tokens")
        self.assertRegex(
            text, r"pages held    .* MiB; a dense cache of as many tokens takes .* MiB"
        )
        self.assertIn("there is no /what", text)
        self.assertIn("the conversation is forgotten", text)
        self.assertEqual(lines[-2], "there was no reply yet")

    def test_the_end(self) -> None:
        lines, replies = self.talk("hello\n/quit\nmore\n")
        self.assertEqual(len(lines), 2)
        self.assertIsNotNone(replies.last)

    def test_more_than_the_bound(self) -> None:
        lines, replies = self.talk("a" * 450 + "\n" + "b" * 380 + "\n" + "c" * 50 + "\n")
        self.assertIn("has 45", lines[0])
        self.assertIn("/reset forgets it, --length-bound sets another", lines[0])
        self.assertLessEqual(replies._conversation.tokens, 401)
        self.assertIn("the length bound is 400", lines[-2])

    def test_an_interrupted_reply_stays(self) -> None:
        replies = self.replies(new_tokens=200)

        def show(text: str) -> None:
            if text:
                replies.cancel()

        text = replies.reply("hello", show)
        self.assertLess(replies.last.reply, 30)
        ids, continues = replies._conversation.ask("on")
        self.assertTrue(continues)
        self.assertIn(f"<a>{text}", self.words.decode(ids))
        replies.reply("on", lambda text: None)

    def test_a_reply_that_fails(self) -> None:
        """The conversation is that of before, and goes on."""
        replies = self.replies()
        replies.reply("one", lambda text: None)
        before = replies._conversation._ids

        def fails(text: str) -> None:
            raise OSError("nobody reads")

        with self.assertRaises(OSError):
            replies.reply("two", fails)
        self.assertEqual(replies._conversation._ids, before)
        self.assertIsNone(replies.bytes())
        replies.reply("two", lambda text: None)
        self.assertGreater(replies.bytes().tokens, len(before))

    def test_stats(self) -> None:
        times = ReplyTimes(prompt=100, reply=21, first_s=0.5, rest_s=2.0)
        memory = CacheBytes(1000, 4000, 3 * 2**20, 6 * 2**20, 2**23, 2**24)
        text = stats(times, memory)
        self.assertIn("then 10.0 tokens/s", text)
        self.assertIn("3.00 MiB; a dense cache of as many tokens takes 6.00 MiB (0.50 of it)", text)


class Command(unittest.TestCase):
    """`python -m moa_compile chat`."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = scratch() / "chat"
        model, words = tiny_model(), tokenizer()
        model.generation_config.eos_token_id = words.eos_token_id
        model.save_pretrained(cls.folder)
        words.save_pretrained(cls.folder)
        cls.package = compiled("chat-package", PLAN, config_of("llama"))

    def run_command(self, *options: str, questions: str = "") -> tuple[int, str, str]:
        words = ("chat", "--model", self.folder, "--package", self.package, "--device", "cpu")
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            unittest.mock.patch("sys.stdin", io.StringIO(questions)),
        ):
            status = run_commands([COMMAND], [*map(str, words), *options])
        return status, out.getvalue(), err.getvalue()

    def test_a_conversation(self) -> None:
        options = ("--temperature", "0", "--new-tokens", "8", "--length-bound", "200")
        first, second = (self.run_command(*options, questions="hello\n/stats\n") for _ in range(2))
        self.assertEqual((first[0], first[2]), (0, ""))
        self.assertIn("of at most 200 tokens", first[1])
        self.assertEqual(first[1].split("\n")[0], second[1].split("\n")[0])
        options = ("--temperature", "2", "--top-k", "5", "--seed", "1", "--new-tokens", "8")
        texts = {self.run_command(*options, questions="hello\n")[1] for _ in range(2)}
        self.assertEqual(len(texts), 1)

    def test_what_is_wrong(self) -> None:
        for options, says in (
            (("--temperature", "-1"), "error MOA7404: --temperature is -1; it is 0 or above"),
            (("--new-tokens", "0"), "error MOA7404: --new-tokens is less than 1"),
            (("--length-bound", "x"), "error MOA7404: argument --length-bound: invalid int"),
            (("--package", "/nowhere"), "error MOA6204: "),
            (("--model", "/nowhere"), "error MOA7401: "),
            (("--dtype", "float32"), "error MOA6302: "),
        ):
            with self.subTest(options):
                status, out, err = self.run_command(*options)
                self.assertEqual((status, out), (2, ""))
                self.assertIn(says, err)
        plain = scratch() / "plain"
        tiny_model().save_pretrained(plain)
        words = tokenizer()
        words.chat_template = None
        words.save_pretrained(plain)
        options = ("--new-tokens", "5", "--model", str(plain))
        status, out, err = self.run_command(*options, questions="it was")
        self.assertEqual((status, err, out.count("\n")), (0, "", 1))
        status, _, err = self.run_command(*options, "--prompt", "chat")
        self.assertEqual(status, 2)
        self.assertIn("error MOA7424: the tokenizer has no chat template", err)
