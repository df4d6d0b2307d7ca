"""What outsiders may build on."""

import subprocess
import sys

import rheostat_policies


def test_the_public_names_are_these() -> None:
    assert rheostat_policies.__all__ == [
        "KEEP",
        "MAX_PROBE_FACTORS",
        "MAX_PROBE_STEPS",
        "POLICIES",
        "SCHEDULES",
        "Action",
        "AdaLRS",
        "AutoLRS",
        "Curve",
        "Greedy",
        "GroupInfo",
        "Hypergradient",
        "KLBand",
        "Learned",
        "LossSpike",
        "NoiseScale",
        "Observation",
        "OneCycleLR",
        "Plateau",
        "Policy",
        "Probe",
        "ProbeResult",
        "Restore",
        "Rules",
        "RunInfo",
        "Schedule",
        "ScheduleRun",
        "State",
        "StepLR",
        "constant",
        "warmup_cosine",
    ]
    assert all(hasattr(rheostat_policies, name) for name in rheostat_policies.__all__)
    assert not hasattr(rheostat_policies, "Plateu")


def test_a_policy_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from rheostat_policies import POLICIES; "
        "known = 'autolrs' in POLICIES, 'numpy' in sys.modules; "
        "print(*known, POLICIES['autolrs'].__name__, 'numpy' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True False AutoLRS True"


def test_policies_import_neither_torch_nor_grpc_nor_cel() -> None:
    code = (
        "import sys, rheostat_policies; "
        "heavy = {'torch', 'grpc', 'rheostat', 'cel_expr_python'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
