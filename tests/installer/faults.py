"""The faults that an installation must survive, and the tests that show it.

A row is survived when every test that it names was run and passed, in all its cases. `how` is
`real`, `injected` (a call is made to answer so, or a process is ended at a chosen point), or
`stated` (the host's facts are given to the code).
"""

from dataclasses import dataclass
from typing import Final

_CHROOTS: Final = "tests/installer/test_chroots.py"
_COMMANDS: Final = "tests/installer/host/test_commands.py"
_DISKS: Final = "tests/installer/test_disks.py"
_FAULTS: Final = "tests/installer/test_faults.py"
_GUEST: Final = "tests/installer/test_guest.py"
_PREFLIGHT: Final = "tests/installer/host/test_preflight.py"
_PLUGINS: Final = "tests/installer/test_plugins.py"
_STICK: Final = "tests/installer/test_stick.py"
_VARIANTS: Final = "tests/workers/test_cpu_variants.py"


@dataclass(frozen=True)
class Fault:
    where: str
    what: str
    how: str
    tests: tuple[str, ...]


FAULTS: Final = (
    Fault("stick", "a bit flipped, in each class of file", "real",
          (f"{_COMMANDS}::test_a_flipped_bit_in_any_file",
           f"{_COMMANDS}::test_a_flipped_bit_in_a_model",
           f"{_COMMANDS}::test_a_flipped_bit_in_what_people_read",
           f"{_PLUGINS}::test_a_plugin_that_is_flipped_on_the_stick_is_refused")),
    Fault("stick", "a truncated, missing, stale, swapped or extra chunk", "real",
          (f"{_COMMANDS}::test_a_truncated_chunk", f"{_COMMANDS}::test_a_missing_file",
           f"{_COMMANDS}::test_a_stale_chunk", f"{_COMMANDS}::test_swapped_chunks",
           f"{_COMMANDS}::test_an_extra_file")),
    Fault("stick", "a file that the signed list does not name", "real",
          (f"{_COMMANDS}::test_an_extra_file",)),
    Fault("stick", "names that differ in case alone", "real",
          (f"{_COMMANDS}::test_names_that_are_one_on_fat",)),
    Fault("stick", "mounted read-only", "real",
          (f"{_STICK}::test_a_readonly_noexec_stick_installs",)),
    Fault("stick", "mounted noexec", "real", (f"{_STICK}::test_a_readonly_noexec_stick_installs",)),
    Fault("stick", "pulled out in mid-copy", "real", (f"{_STICK}::test_pulled_out_in_mid_copy",)),
    Fault("stick", "EIO on a read", "injected", (f"{_STICK}::test_a_read_that_fails",)),
    Fault("stick", "other contents at the second read", "real",
          (f"{_STICK}::test_contents_that_change_before_they_are_copied",
           f"{_STICK}::test_contents_that_change_after_they_were_copied")),
    Fault("stick", "a forged or absent signature, another key", "real",
          (f"{_COMMANDS}::test_another_vendor",
           f"{_COMMANDS}::test_another_vendor_behind_our_public_key",
           f"{_COMMANDS}::test_a_missing_file")),
    Fault("stick", "an older counter", "real", (f"{_COMMANDS}::test_an_older_bundle",)),
    Fault("stick", "for another architecture", "real",
          (f"{_COMMANDS}::test_a_bundle_for_another_machine",)),
    Fault("host", "no Python", "real", (f"{_CHROOTS}::test_install",)),
    Fault("host", "an old glibc (2.31)", "real", (f"{_CHROOTS}::test_install",)),
    Fault("host", "no AVX2", "stated",
          (f"{_VARIANTS}::test_without_avx_the_plain_variant_computes",
           f"{_PREFLIGHT}::test_everything_at_once")),
    Fault("host", "a processor that claims what it cannot do", "injected",
          (f"{_VARIANTS}::test_a_variant_that_dies_is_not_chosen",)),
    Fault("host", "little memory", "stated", (f"{_PREFLIGHT}::test_everything_at_once",)),
    Fault("host", "a disk that is full at each phase", "real",
          (f"{_DISKS}::test_full_at_a_phase", f"{_DISKS}::test_every_phase_with_a_full_disk",
           f"{_DISKS}::test_a_state_directory_that_fills_up")),
    Fault("host", "no inodes left", "real", (f"{_DISKS}::test_out_of_inodes",)),
    Fault("host", "noexec where it installs", "real",
          (f"{_DISKS}::test_a_noexec_or_readonly_place_is_refused",)),
    Fault("host", "umask 077", "real", (f"{_FAULTS}::test_a_restrictive_mask_completes",)),
    Fault("host", "a locale that is not UTF-8", "real",
          (f"{_FAULTS}::test_hostile_surroundings_change_nothing",)),
    Fault("host", "a clock at 1970 or in ten years", "injected",
          (f"{_FAULTS}::test_a_wrong_clock_is_a_note_and_completes",)),
    Fault("host", "the port taken", "real", (f"{_FAULTS}::test_a_port_that_is_taken",)),
    Fault("host", "SELinux enforcing", "stated", (f"{_PREFLIGHT}::test_hardened_hosts_are_told",)),
    Fault("host", "fapolicyd", "stated", (f"{_PREFLIGHT}::test_hardened_hosts_are_told",
           "tests/installer/host/test_system.py::test_lines_of_the_trust_file")),
    Fault("host", "FIPS mode", "stated", (f"{_PREFLIGHT}::test_hardened_hosts_are_told",)),
    Fault("host", "the GPU's driver absent, old or late", "stated",
          (f"{_PREFLIGHT}::test_an_unused_gpu_is_loud",
           "tests/installer/test_plugins.py::test_the_plugin_follows_the_driver",
           "tests/workers/test_gpu_devices.py::test_auto_with_a_driver_is_loud")),
    Fault("host", "libggml-*.so planted in the working directory", "real",
          (f"{_FAULTS}::test_hostile_surroundings_change_nothing",)),
    Fault("host", "hostile PYTHONPATH, LD_LIBRARY_PATH, PIP_*, GGML_BACKEND_PATH", "real",
          (f"{_FAULTS}::test_hostile_surroundings_change_nothing",)),
    Fault("process", "SIGKILL after every line of the ledger and before every change of a file",
          "injected", ("tests/installer/host/test_install.py::test_every_line_of_the_ledger",
                       f"{_FAULTS}::test_killed_before_every_change_of_the_file_system")),
    Fault("process", "power cut", "injected", (f"{_DISKS}::test_power_cut_at_any_line",)),
    Fault("process", "the host is ended in an upgrade and boots again", "real",
          (f"{_GUEST}::test_ended_in_an_upgrade_and_booted_again",)),
    Fault("process", "two installers at once", "real",
          (f"{_FAULTS}::test_two_installers_at_once",)),
    Fault("process", "run again after it succeeded", "real",
          (f"{_FAULTS}::test_again_after_it_succeeded",)),
    Fault("process", "the new release fails its health check", "real",
          (f"{_CHROOTS}::test_sabotage", f"{_FAULTS}::test_a_failing_health_check_goes_back")),
    Fault("process", "the new release crashes again and again after the commit", "real",
          (f"{_GUEST}::test_a_crash_loop_ends_and_is_rolled_back",)),
    Fault("process", "uninstalled and installed again", "real", (f"{_CHROOTS}::test_remove",)),
)  # fmt: skip
