"""Keeps texts that come from data from being read as chat markup.

A chat template pastes messages into one text, and a tokenizer turns `<|im_end|>`, `</think>` or `<tool_response>` in
that text into control tokens, whoever wrote them: a caption could end the user's turn and speak as the assistant.
Everything the prompt and the environment say passes through here once, so nothing behind them needs to know.
"""

import re

# Wide on purpose: `<|im_end|>` and `<tool_call>` of Qwen3, `<start_of_turn>`, `</s>` and `<｜…｜>` of others.
_OPENING = re.compile(r"<(?=[|｜/]|[^\W\d])")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def without_markup(text: str) -> str:
    """The same text with a space after every `<` that could begin a tag or a control token.

    `a < b` and `<3` stay as they are. A half of a surrogate pair, which no tokenizer takes, becomes U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", _OPENING.sub("< ", text))
