"""Leaves out copies; merges batch normalisation with sums and relus, and softmax with its cost.

Residual nets are made of the former: He, Zhang, Ren and Sun, "Deep Residual Learning for Image
Recognition" (2015). Memory sets the pace of all of them, so each pass over it that is saved counts.
Each function changes the calls of a program, as convnet.recording has them, and returns the
indices of those that have nothing left to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convnet.neurons import IDENT
from convnet.plan import Buffer, Call, Storage

Users = dict[Storage, list[int]]


def users_of(calls: Sequence[Call]) -> Users:
    """The indices of the calls that use each storage."""
    users: Users = {}
    for i, call in enumerate(calls):
        for storage in call.storages():
            users.setdefault(storage, []).append(i)
    return users


def leave_out_copies(calls: Sequence[Call], kept: frozenset[Storage]) -> set[int]:
    """Lets what is copied and its copy be one storage, if neither changes while both are needed."""
    users = users_of(calls)
    dropped: set[int] = set()
    for i, call in enumerate(calls):
        if call.op != "add_scaled" or call.args["scale"] != 1 or call.args["add"]:
            continue
        source, copy = (call.args[name].storage for name in ("inputs", "acts"))
        if not all(_is_free(call.args[name], kept) for name in ("inputs", "acts")):
            continue
        if source.part != copy.part or users[copy][0] != i:
            continue
        of_source, of_copy = ([j for j in users[s] if j > i] for s in (source, copy))
        if any(
            storage in calls[j].written() and j <= max(others, default=i)
            for storage, uses, others in ((source, of_source, of_copy), (copy, of_copy, of_source))
            for j in uses
        ):
            continue
        for j in of_copy:
            for name, buffer in list(calls[j].buffers()):
                if buffer.storage is copy:
                    calls[j].args[name] = replace(buffer, storage=source)
        users[source] = sorted({*users[source], *of_copy} - {i})
        dropped.add(i)
    return dropped


def _is_free(buffer: Buffer, kept: frozenset[Storage]) -> bool:
    """Whether it is the whole of a storage for images, which nobody outside looks at."""
    storage = buffer.storage
    return buffer.is_whole and storage.per_case and storage.array is None and storage not in kept


def add_while_normalising(calls: list[Call]) -> set[int]:
    """Lets batch normalisation add what would be added to its output next."""
    users = users_of(calls)
    dropped: set[int] = set()
    for i, call in enumerate(calls):
        if call.op != "batchnorm_fprop" or call.args["neuron"] != IDENT:
            continue
        acts = call.args["acts"]
        later = [j for j in users[acts.storage] if j > i]
        adder = calls[later[0]] if later else call
        if (
            adder.op == "add_scaled"
            and adder.args["add"]
            and adder.args["scale"] == 1
            and adder.args["acts"].storage is acts.storage
            and not call.args["others"]
        ):
            others = adder.args["inputs"].reshape(*acts.shape)
            # Where the sum was: what is added may not be there before.
            calls[later[0]] = replace(call, args=call.args | {"others": others})
            dropped.add(i)
    return dropped


def judge_while_predicting(calls: list[Call]) -> set[int]:
    """Lets the cost of probabilities be computed by the softmax that makes them."""
    users = users_of(calls)
    dropped: set[int] = set()
    for i, call in enumerate(calls):
        if call.op != "softmax_fprop":
            continue
        inputs, acts = call.args["inputs"], call.args["acts"]
        place = next((j for j in users[acts.storage] if j > i), i)
        cost = calls[place]
        changes = any(inputs.storage in calls[j].written() for j in range(i + 1, place))
        if cost.op == "logreg_cost" and cost.args["probs"] == acts and not changes:
            args = {n: v for n, v in cost.args.items() if n != "probs"}
            args |= {"inputs": inputs, "acts": acts}
            calls[place] = Call("softmax_logreg_fprop", args, cost.part, cost.layer)
            dropped.add(i)
    return dropped


def take_gradients_through_relus(calls: Sequence[Call], kept: frozenset[Storage]) -> set[int]:
    """Lets the gradient of batch normalisation be taken through a relu that is fused with it."""
    users = users_of(calls)
    dropped: set[int] = set()
    for i, call in enumerate(calls):
        if call.op != "neuron_bprop" or call.args["neuron"].kind != "relu" or call.args["add"]:
            continue
        maker = calls[users[call.args["values"].storage][0]]
        source, between = call.args["acts_grad"], call.args["inputs_grad"]
        later = [calls[j] for j in users[between.storage] if j > i]
        changes = any(source.storage in calls[j].written() for j in users[source.storage] if j > i)
        if (
            maker.op == "batchnorm_fprop"
            and not maker.args["others"]
            and _is_free(between, kept)
            and all(_is_gradient_of(maker, user, between) for user in later)
            and not changes
        ):
            for user in later:
                grad = source.reshape(*user.args["acts_grad"].shape)
                user.args |= {"acts_grad": grad, "relu": True}
            dropped.add(i)
    return dropped


def _is_gradient_of(maker: Call, call: Call, grad: Buffer) -> bool:
    return (
        call.op in ("batchnorm_sums", "batchnorm_dgrad")
        and call.args["images"] == maker.args["images"]
        and call.args["gammas"] == maker.args["gammas"]
        and call.args["acts_grad"].storage is grad.storage
    )
