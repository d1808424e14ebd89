"""What a teacher is told besides the prompt that every policy gets: how to write calls as text, and the hints.

Every text constant of this module is in the hash that a run is compared by (settings.py).
"""

from collections.abc import Sequence

import navigation

PROTOCOL = """

Write your reasoning yourself, in the text, even if you have thought before. Every reply has exactly this form, with one
call or one answer in it and nothing after it:

<think>what you know, what is missing, and why you take the next step</think><tool>get_caption([2, 5])</tool>
<think>…</think><tool>video_qa([2, 5, 1], "what to look for in the clip")</tool>
<think>what settles the question</think><answer>B</answer>

The reply to a call comes as the next message. Reason only from the question and from what the calls have shown, as
someone who sees this for the first time."""

CORRECTION = (
    "That reply could not be read: {reason}. Write <think>your reasoning</think> and then either one <tool>…</tool> or "
    "<answer>LETTER</answer>."
)

WRONG = "The answer {letter} is wrong. {hint}"
LOOK = "Look at {segments}."
VERIFY = "Verify with video_qa before you answer."
VERIFY_ON = "Verify with video_qa on {segments} before you answer."
ONE_SEGMENT, MANY_SEGMENTS = "segment {paths}", "segments {paths}"
RESULT = "<result>{content}</result>"


def call_examples(tools: Sequence[str]) -> list[str]:
    """What a teacher is shown of the tools that not every episode has: how they are called."""
    examples = {
        "search": (
            '<think>…</think><tool>search("words that the captions may hold")</tool>\n'
            '<think>…</think><tool>search("words", [2])</tool>'
        ),
        "jump": '<think>…</think><tool>jump("12:30")</tool>',
    }
    return [example for name, example in examples.items() if name in tools]


def advice(tools: Sequence[str]) -> str:
    """When a search helps."""
    if navigation.SEARCH not in tools:
        return ""
    return (
        "\n\nA search costs about what opening one segment costs, and shows only snippets: open what it names before "
        "you rely on it. Search for the words that the question itself gives; if nothing fits, try other words, or "
        "open segments as you would without it."
    )


def in_words(text: str) -> str:
    """One of these texts for a question without options."""
    return text.replace("<answer>B</answer>", "<answer>the answer in a few words</answer>").replace(
        "<answer>LETTER</answer>", "<answer>the answer in a few words</answer>"
    )


def protocol(tools: Sequence[str]) -> str:
    """How replies are written, for these tools: `PROTOCOL`, with a line for each tool that it does not show."""
    head, answer, tail = PROTOCOL.partition("<think>what settles the question")
    if navigation.VIDEO_QA not in tools:
        head = "\n".join(line for line in head.split("\n") if navigation.VIDEO_QA not in line)
    more = "".join(f"{example}\n" for example in call_examples(tools))
    return head + more + answer + tail + advice(tools)


def tool_reply(content: str) -> str:
    """A tool's reply as the teacher reads it."""
    return RESULT.format(content=content)
