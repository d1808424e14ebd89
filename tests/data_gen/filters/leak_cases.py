"""Hinted transcripts with a label each: half leak the hint, in different ways, and half do not.

`TUNED` was looked at while the detector was written; `UNSEEN` was written afterwards and never used to change it, so
its figures are the honest ones.
"""

from navigation import answer_message, assistant_message

PROMPT = (
    "What colour is the ball?\nA. Red\nB. Blue\nC. Green\n\nThe video lasts 17:04. Its tree has 3 levels; segments "
    "split into 4.\n0:00-4:16 [1] A park.\n4:16-8:32 [2] A teacher gives hints to pupils.\n8:32-12:48 [3] A beach.\n"
    "12:48-17:04 [4] A kitchen."
)


def transcript(steps):
    """Messages of a walk from `(reasoning, path or letter)` pairs."""
    messages = [{"role": "system", "content": "Walk the tree."}, {"role": "user", "content": PROMPT}]
    for reasoning, action in steps:
        if isinstance(action, str):
            messages.append(answer_message(reasoning, action))
        else:
            messages.append(assistant_message(reasoning, calls=[("get_caption", {"segment": list(action)})]))
            content = f"0:00-1:04 {list(action)} A child plays with a ball."
            messages.append({"role": "tool", "name": "get_caption", "content": content})
    return messages


def said(text, place=1):
    """A plain walk into which one sentence is put."""
    steps = [
        ["The beach may have a ball, so I open [3].", (3,)],
        ["Its second part comes next.", (3, 2)],
        ["A child plays there; a closer look at the first part.", (3, 2, 1)],
        ["The ball is blue.", "B"],
    ]
    steps[place][0] = f"{text} {steps[place][0]}" if place % 2 else f"{steps[place][0]} {text}"
    return transcript(steps)


TUNED = [
    (True, said("The hint says segment 3.")),
    (True, said("According to the hint, the ball shows up at the beach.", 0)),
    (True, said("As told, I look at the beach.")),
    (True, said("My previous answer was wrong, so I look again.", 2)),
    (True, said("I was told to verify with video_qa.", 3)),
    (True, said("The user says that A is wrong.")),
    (True, said("Option A was wrong, so it is B or C.", 3)),
    (True, said("Following your advice I open this one.")),
    (True, said("You pointed to segment 3.", 0)),
    (True, said("Since I answered A before, another colour must be right.", 3)),
    (True, said("The feedback says to look at the beach.")),
    (True, said("Given the hinted segment, this is the place.", 2)),
    (True, said("I've been advised to look closer.", 2)),
    (True, said("I was wrong about the red ball.", 3)),
    (True, said("The clue segments lie here.", 2)),
    (True, said("With the new hint I know where.", 0)),
    (True, said("Hint: the beach.", 0)),
    (True, said("A has been rejected.", 3)),
    (True, said("As suggested by the user, I check the leaf.", 2)),
    (True, said("I need to revise my answer.", 2)),
    (True, said("The recommended segment is this.", 2)),
    (True, said("It was marked as incorrect.", 2)),
    (True, transcript([("The answer should be in [4, 3, 2].", (4, 3, 2)), ("Blue.", "B")])),
    (True, transcript([("I open it.", (2, 4, 1)), ("Blue.", "B")])),
    (True, transcript([("The beach.", (3,)), ("I compare with [1, 2, 3].", (3, 1)), ("Blue.", "B")])),
    (True, transcript([("Park first.", (1,)), ("Then straight there.", (4, 2, 2)), ("Blue.", "B")])),
    (False, said("The caption hints at a game.")),
    (False, said("There is a hint of blue in the picture.", 2)),
    (False, said("The teacher gives a pupil advice on running.", 0)),
    (False, said("The instructor says that the dough must rest.")),
    (False, said("A man told his friend about the ball.")),
    (False, said("As mentioned in the caption, a child plays.", 2)),
    (False, said("Option A is wrong because the caption shows no red.", 3)),
    (False, said("I was looking for a ball, not a cup.")),
    (False, said("The question asks for a colour, so I need the leaf.", 0)),
    (False, said("As described above, the child is at the beach.")),
    (False, said("The assistant hands the chef a bowl.")),
    (False, said("I guess that the next part shows it.")),
    (False, said("My first thought is the beach.", 0)),
    (False, said("The park was not the right place.", 2)),
    (False, said("According to the caption, a child plays.", 2)),
    (False, said("The woman is following the instructions on the box.")),
    (False, said("You can see the sea from there.")),
    (False, said("The last segment had no ball.")),
    (False, said("It seems B, but I verify it.", 2)),
    (False, said("The summary of [3] speaks of a child.")),
    (False, said("A sign gives a clue about the time.")),
    (False, said("The answer must be somewhere in the third quarter.", 0)),
    (False, said("The user of the phone walks away.")),
    (False, transcript([("Part two.", (3, 2)), ("Next in time.", (3, 3)), ("Blue.", "B")])),
    (False, transcript([("Beach.", (3,)), ("The end of it.", (3, 4)), ("On to [4, 1].", (4, 1)), ("Blue.", "B")])),
    (False, transcript([("Beach, part 2.", (3, 2)), ("[3, 2, 4] is its end.", (3, 2, 4)), ("Blue.", "B")])),
    (True, said("The guidance I received narrows it down to the beach.", 0)),
    (True, said("Apparently my guess was not correct.", 2)),
    (True, said("The system told me to check the leaf again.", 2)),
    (True, said("Because red turned out to be incorrect, I continue.", 2)),
    (True, said("Per the instruction, I verify before I answer.", 2)),
    (True, said("The clue interval covers this part.")),
    (True, said("I have been informed that the beach matters.", 0)),
    (True, said("After the correction I look at another place.")),
    (True, said("My initial choice missed this.", 3)),
    (True, said("They said to look at segment 3.", 0)),
    (True, said("B is the only one left after A failed.", 3)),
    (True, said("The latest hint names this segment.", 2)),
    (True, said("I selected A and it was wrong.", 3)),
    (True, said("Your message points me here.", 2)),
    (True, said("The indicated clip should show it.", 2)),
    (True, transcript([("Something tells me to try this one.", (1, 3, 3)), ("Blue.", "B")])),
    (True, transcript([("Park.", (1,)), ("Let me use [2, 2, 2] and [2, 2, 3].", (2, 2)), ("Blue.", "B")])),
    (True, transcript([("Beach.", (3,)), ("Kitchen leaf.", (4, 4, 1)), ("Blue.", "B")])),
    (True, said("We were directed to the third segment.")),
    (True, said("The ground truth is in here.", 2)),
    (False, said("She tells the children where the ball is.")),
    (False, said("The caption suggests a game, so I open it.")),
    (False, said("The sign says closed.")),
    (False, said("Nothing there; I go back and try another part.", 2)),
    (False, said("Option C is incorrect since no green is mentioned.", 3)),
    (False, said("The coach gives feedback to the players.", 0)),
    (False, said("I have two candidates, A and B.", 2)),
    (False, said("The first answer that comes to mind is red, but I check.", 0)),
    (False, said("The kitchen is given too little room in the captions.")),
    (False, said("The speaker mentioned a blue ball.", 3)),
    (False, said("As noted in [3], it is a sunny day.")),
    (False, said("The man was told to leave, which is not what I seek.")),
    (False, said("I am asked for a colour.", 0)),
    (False, said("I must verify it in the clip.", 2)),
    (False, said("The tip of the hat is red.", 2)),
    (False, said("A recipe with instructions is on the wall.")),
    (False, said("They chose B teams for the match.")),
    (False, transcript([("Park.", (1,)), ("[1, 4] ends it.", (1, 4)), ("Then [2, 1].", (2, 1)), ("Blue.", "B")])),
    (False, transcript([("Kitchen.", (4, 1)), ("Its leaves.", (4, 1, 1)), ("[4, 1, 2].", (4, 1, 2)), ("Blue.", "B")])),
    (False, said("At 8:32 the beach begins.")),
]

UNSEEN = [
    (True, said("The message after my reply named this part.")),
    (True, said("It was said that red is not it.", 2)),
    (True, said("I got a tip to open the third segment.", 0)),
    (True, said("They told me that it is not red.", 3)),
    (True, said("My last answer did not hold.", 2)),
    (True, said("The note says to verify, so I do.", 2)),
    (True, said("As required, I verify this clip before answering.", 2)),
    (True, said("The evaluator confirmed that A is not right.", 3)),
    (True, said("I already know that the answer lies at the beach.", 0)),
    (True, said("Since A was not correct, I take B.", 3)),
    (True, said("We have been told where the ball is.")),
    (True, said("The provided segment shows a child.", 2)),
    (True, said("You gave me segment 3.", 0)),
    (True, said("Let me try again at the beach.")),
    (True, said("This matches the hint about the beach.", 2)),
    (True, transcript([("Park.", (1,)), ("The leaf [2, 3, 3] looks promising.", (2, 3, 3)), ("Blue.", "B")])),
    (True, transcript([("Straight to it.", (4, 1, 3)), ("Blue.", "B")])),
    (True, transcript([("Beach.", (3,)), ("Between [3, 4, 2] and [3, 4, 3].", (3, 4)), ("Blue.", "B")])),
    (False, said("The mother asks the boy to try the ball.")),
    (False, said("A note on the fridge says milk.")),
    (False, said("The teacher told the pupils where to sit.")),
    (False, said("I know that the beach comes after the street.")),
    (False, said("The answer is not in this part, so I go on.", 2)),
    (False, said("The previous segment showed a park.")),
    (False, said("A message appears on the phone.")),
    (False, said("Its caption tells of a child.", 2)),
    (False, said("The correct option must name a colour.", 0)),
    (False, said("Red and green are nowhere mentioned.", 3)),
    (False, said("She points to the sea.")),
    (False, said("The man gave the dog a ball.")),
    (False, said("The tutorial recommends to rest the dough.")),
    (False, said("I was hoping for more detail.", 2)),
    (False, said("He failed to catch the ball.")),
    (False, transcript([("Beach.", (3,)), ("Part 1.", (3, 1)), ("Leaf [3, 1, 4].", (3, 1, 4)), ("Blue.", "B")])),
    (
        False,
        transcript([("Park.", (1, 1)), ("Then [1, 1, 2].", (1, 1, 2)), ("And [1, 1, 3].", (1, 1, 3)), ("Blue.", "B")]),
    ),
    (False, said("The ball in [3] may be the one.")),
]
