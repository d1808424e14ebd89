"""What a teacher is told besides the prompt that every policy gets: how to write calls as text, and the hints.

Every text constant of this module is in the hash that a run is compared by (settings.py).
"""

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


def tool_reply(content: str) -> str:
    """A tool's reply as the teacher reads it."""
    return RESULT.format(content=content)
