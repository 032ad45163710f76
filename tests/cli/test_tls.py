"""`appliance tls …`."""

from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


def test_a_certificate_is_made_for_the_names(lab: LabData, run: Run) -> None:
    made = run("tls", "issue", "appliance.lan", "10.0.0.5", "--json").document
    assert made["names"] == ["appliance.lan", "10.0.0.5"]
    assert (lab.data / "tls" / "ca.pem").is_file()
    assert run("tls", "issue", "a b", "--json").code == (2, "certificate_unusable")
