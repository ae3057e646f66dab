"""What models without learning make of the stress tests, in a model's place.

    python benchmarks/controls.py stress/<key>

Opens a stress result's inputs and carries out every case on the model itself, on a freshly
initialised one, on the model with its weights shuffled, and on one with weights of zero. Each is
compared with controls of its own, as the model is. Prints how many cases on the implementation
passed, and of each case on behaviour the mean with its interval, the verdict, and human text.
"""

import argparse
import copy
import time
from dataclasses import replace

import torch

from variorum.base.project import find_project
from variorum.config.canonical import restored
from variorum.evaluation.stress import catalogue
from variorum.evaluation.stress.behaviour.controls import random_model, shuffled_model
from variorum.evaluation.stress.behaviour.estimates import MeanEstimate
from variorum.evaluation.stress.behaviour.outcome import HUMAN, MODEL
from variorum.identity.spec import Ref
from variorum.model.gpt import GPT
from variorum.stages.stress import StressStage, subject_of
from variorum.store.store import Store


def weightless(model: GPT) -> GPT:
    """The model with weights of zero."""
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


def shown(found: MeanEstimate | None) -> str:
    """A mean with its interval."""
    return "none" if found is None else f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What models without learning make of the tests.")
    parser.add_argument("result", help="such as stress/0123456789ab")
    torch.set_num_threads(1)
    store = Store(find_project())
    spec = store.open(Ref.parse(parser.parse_args().result)).spec
    inputs = {name: store.open(ref) for name, ref in spec.upstream.items()}
    own = subject_of(inputs, restored(StressStage, dict(spec.settings)).stress, "cpu")
    models = {
        "model": own.model,
        "random": random_model(own.model),
        "shuffled": shuffled_model(own.model),
        "zero": weightless(own.model),
    }
    for name, model in models.items():
        subject, started = replace(own, model=model), time.process_time()
        cases = catalogue.implementation(subject)
        passed = sum(case.passed for case in cases)
        print(f"{name}: {passed} of {len(cases)} cases on the implementation passed")
        for case in catalogue.behaviour(subject):
            human = case.shown.found.get(HUMAN)
            beside = f"; human text {shown(human)}" if human else ""
            verdict = "passed" if case.passed else "failed"
            print(f"  {verdict} {case.name}: {shown(case.shown.found[MODEL])}{beside}")
            for each in case.claims:
                met = "met" if each.holds[MODEL] else "not met"
                print(f"      {met}: {each.name}: {shown(each.found[MODEL])}")
        print(f"  {time.process_time() - started:.0f} s of one processor", flush=True)


if __name__ == "__main__":
    main()
