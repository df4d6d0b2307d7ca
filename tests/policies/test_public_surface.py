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


def test_policies_import_neither_torch_nor_grpc_nor_cel() -> None:
    code = (
        "import sys, rheostat_policies; "
        "heavy = {'torch', 'grpc', 'rheostat', 'cel_expr_python'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
