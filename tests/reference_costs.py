"""The costs beyond logreg as plain loops over their formulas; see tests/reference.py."""

from __future__ import annotations

import numpy as np

# --- labels as a matrix -----------------------------------------------------------------------


def safe_log(p: float) -> float:
    return float(np.log(p)) if p > 0 else -50.0


def best_classes(probs: np.ndarray, n: int) -> list[int]:
    return [k for k in range(len(probs)) if probs[k, n] == max(probs[:, n])]


def crossent_cost(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    cost = wrong = 0.0
    for n in range(probs.shape[1]):
        cost -= sum(t * safe_log(p) for t, p in zip(labels[:, n], probs[:, n], strict=True))
        best = best_classes(probs, n)
        right = any(labels[k, n] > 0 for k in best)
        wrong += 1 - 1 / len(best) if right else 1
    return np.array([cost, wrong])


def crossent_bprop(labels: np.ndarray, probs: np.ndarray, coeff: float) -> np.ndarray:
    grad = np.zeros_like(probs)
    for i in np.ndindex(*probs.shape):
        grad[i] = -coeff * labels[i] / probs[i] if probs[i] > 0 else 0
    return grad


def bce_cost(labels: np.ndarray, probs: np.ndarray, pos_weight: float) -> np.ndarray:
    cost = mismatches = missed = 0.0
    for i in np.ndindex(*probs.shape):
        t, y = labels[i], probs[i]
        cost -= pos_weight * t * safe_log(y) + (1 - t) * safe_log(1 - y)
        mismatches += (1 if y > 0.5 else 0) != t
    for n in range(probs.shape[1]):
        best = best_classes(probs, n)
        missed += 1 - sum(labels[k, n] for k in best) / len(best)
    return np.array([cost, mismatches / len(probs), missed])


def bce_bprop(labels: np.ndarray, probs: np.ndarray, pos_weight: float, coeff: float) -> np.ndarray:
    grad = np.zeros_like(probs)
    for i in np.ndindex(*probs.shape):
        t, y = labels[i], probs[i]
        if y < 1:
            grad[i] += coeff * (1 - t) / (1 - y)
        if y > 0:
            grad[i] -= coeff * pos_weight * t / y
    return grad


def dce_cost(labels: np.ndarray, probs: np.ndarray, pos_weight: float) -> np.ndarray:
    values = [*bce_cost(labels, probs, pos_weight)[:2]]
    for k in range(len(probs)):
        declared = positive = true = 0.0
        for t, y in zip(labels[k], probs[k], strict=True):
            says = 1 if y > 0.5 else 0
            declared += says
            positive += t
            true += t if says == t else 0
        values += [declared, positive, true]
    return np.array(values)


# --- rankings ---------------------------------------------------------------------------------


def best_other(inputs: np.ndarray, label: int, n: int) -> int:
    others = [k for k in range(len(inputs)) if k != label]
    return max(others, key=lambda k: inputs[k, n])  # the first of several


def hinge_cost(labels: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    cost = wrong = 0.0
    for n in range(inputs.shape[1]):
        label = int(labels[0, n])
        x, other = inputs[label, n], inputs[best_other(inputs, label, n), n]
        cost += max(0, 1 + other - x)
        wrong += x <= other
    return np.array([cost, wrong])


def hinge_bprop(labels: np.ndarray, inputs: np.ndarray, coeff: float) -> np.ndarray:
    grad = np.zeros_like(inputs)
    for n in range(inputs.shape[1]):
        label = int(labels[0, n])
        other = best_other(inputs, label, n)
        if inputs[label, n] < 1 + inputs[other, n]:
            grad[label, n], grad[other, n] = -coeff, coeff
    return grad


def gsinlabel_norm(labels: np.ndarray, inputs: np.ndarray, c: int, label: float) -> float:
    members = [n for n in range(inputs.shape[-1]) if labels[0, n] == label]
    return float(np.sqrt(len(members) * sum((inputs[c, :, n] ** 2).sum() for n in members)))


def gsinlabel_cost(labels: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    total = 0.0
    for c in range(len(inputs)):
        for label in set(labels[0]):
            total += gsinlabel_norm(labels, inputs, c, label)
    return np.array([total])


def gsinlabel_bprop(labels: np.ndarray, inputs: np.ndarray, coeff: float) -> np.ndarray:
    grad = np.zeros_like(inputs)
    for c, p, n in np.ndindex(*inputs.shape):
        norm = gsinlabel_norm(labels, inputs, c, labels[0, n])
        size = sum(other == labels[0, n] for other in labels[0])
        grad[c, p, n] = coeff * size * inputs[c, p, n] / norm if norm > 0 else 0
    return grad


def locrank_excess(codes: list[np.ndarray], margin: float, n: int) -> float:
    a, b, c = ([2 * bit - 1 for bit in code[:, n]] for code in codes)
    near = sum(x * y for x, y in zip(a, b, strict=True))
    far = sum(x * y for x, y in zip(a, c, strict=True))
    return margin + (far - near) / 2


def locrank_cost(codes: list[np.ndarray], weights: np.ndarray, margin: float) -> np.ndarray:
    ranking = balance = 0.0
    for n in range(weights.shape[1]):
        ranking += weights[0, n] * max(0, locrank_excess(codes, margin, n))
    for bit in codes[0]:
        balance += np.mean([2 * x - 1 for x in bit]) ** 2 / 2
    return np.array([ranking + balance, ranking])


def locrank_bprop(
    codes: list[np.ndarray], weights: np.ndarray, margin: float, position: int, coeff: float
) -> np.ndarray:
    a, b, c = codes
    grad = np.zeros_like(a)
    for j, n in np.ndindex(*a.shape):
        w = coeff * weights[0, n] if locrank_excess(codes, margin, n) > 0 else 0
        if position == 0:
            mean = np.mean([2 * x - 1 for x in a[j]])
            grad[j, n] = 2 * w * (c[j, n] - b[j, n]) + 2 * coeff * mean / a.shape[1]
        else:
            grad[j, n] = (-w if position == 1 else w) * (2 * a[j, n] - 1)
    return grad
