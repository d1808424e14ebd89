"""Who plays: rules, the expert and models, each behind `navigation.Policy`."""

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from navigation import InputError, Policy, Question, TreeStore

_CLASSES = {
    "random": ("evaluation.policies.planned", "RandomPolicy"),
    "uniform": ("evaluation.policies.planned", "UniformPolicy"),
    "exhaustive": ("evaluation.policies.planned", "ExhaustivePolicy"),
    "retrieval": ("evaluation.policies.retrieval", "RetrievalPolicy"),
    "closed_book": ("evaluation.policies.planned", "ClosedBookPolicy"),
    "overview": ("evaluation.policies.planned", "ClosedBookPolicy"),
    "best_first": ("evaluation.policies.search", "BestFirstPolicy"),
    "coarse_to_fine": ("evaluation.policies.search", "CoarseToFinePolicy"),
    "spotlight": ("evaluation.policies.search", "SpotlightPolicy"),
    "consensus": ("evaluation.policies.consensus", "ConsensusPolicy"),
    "search_read": ("evaluation.policies.search_read", "SearchReadPolicy"),
    "hierarchy_search": ("evaluation.policies.hierarchy_search", "HierarchySearchPolicy"),
    "endpoint": ("evaluation.policies.endpoint", "EndpointPolicy"),
    "expert": ("data_gen.expert", "Expert"),
    "local": ("trainer.local_policy", "LocalPolicy"),
}
POLICY_NAMES = tuple(_CLASSES)
RULES = (
    "closed_book",
    "random",
    "overview",
    "uniform",
    "retrieval",
    "consensus",
    "best_first",
    "coarse_to_fine",
    "spotlight",
    "search_read",
    "hierarchy_search",
    "exhaustive",
    "expert",
)
"""Policies that need no model, from the cheapest on."""
_NOT_OPTIONS = {"questions", "trees", "overview", "_indices", "judge", "calls"}
_NEED_TREES = ("retrieval", "consensus")


def has_option(name: str, option: str) -> bool:
    """Whether a policy has a setting, such as `visits`."""
    module, attribute = _CLASSES[name]
    return option in inspect.signature(getattr(import_module(module), attribute)).parameters


def make_policy(name: str, /, trees: TreeStore, questions: Sequence[Question], seed: int = 0, **options: Any) -> Policy:
    """A policy by name. Only what is asked for is imported, so that rules need no torch.

    Args:
        name: One of `POLICY_NAMES`.
        trees: Caption trees, for policies that index captions.
        questions: With answers and clues; handed to the expert and to no other.
        seed: For everything random.
        **options: The policy's own settings: `visits` of random, uniform and retrieval and of the searching policies,
            `judge` of all rules, `wander` of the expert, `checkpoint`, `temperature` and `name` (what results call it)
            of the local model, `calls` of the endpoint.

    Raises:
        InputError: an unknown name or an option that the policy does not have.
    """
    if name not in _CLASSES:
        raise InputError("policy", "name", name, f"give one of {', '.join(POLICY_NAMES)}")
    module, attribute = _CLASSES[name]
    made_by: Callable[..., Policy] = getattr(import_module(module), attribute)
    known = inspect.signature(made_by).parameters
    given: dict[str, Any] = {"seed": seed, **options}
    if name == "expert":
        given["questions"] = questions
    elif name in _NEED_TREES:
        given["trees"] = trees
    elif name == "overview":
        given["overview"] = True
    for option, value in given.items():
        if option not in known:
            mine = ", ".join(sorted(set(known) - _NOT_OPTIONS))
            raise InputError(f"policy {name}", option, value, f"this policy's options are: {mine}")
    for option, parameter in known.items():
        if parameter.default is parameter.empty and option not in given:
            raise InputError(f"policy {name}", option, None, "this policy needs it")
    visits = options.get("visits")
    if visits is not None and (not isinstance(visits, int) or isinstance(visits, bool) or visits < 0):
        raise InputError(f"policy {name}", "visits", visits, "give a whole number of at least 0")
    return made_by(**given)
