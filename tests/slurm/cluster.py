"""A SLURM cluster of one node on the loopback: `python tests/slurm/cluster.py FOLDER`.

Three programs in the foreground (munged, slurmctld, slurmd), all their files in one folder, no
systemd, no cgroups, no accounting; whoever starts it is its only user, and need not be root.
"""

import argparse
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
PATIENCE = 30.0  # seconds until a program must have answered
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
# A requeued job waits for as long as a credential may live; the default is 120 s.
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# The node claims more processors than it has.
SlurmdParameters=config_overrides
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# What needs a kernel's cgroups, or a database, is not asked for.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MinJobAge={min_job_age}
KillWait={kill_wait}
InactiveLimit=0
SlurmdTimeout=60
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptMode={preempt_mode}
PreemptType=preempt/partition_prio
SlurmctldParameters=preempt_send_user_signal
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=day Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes={host} MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here; None: one can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]
    if absent:
        return f"{', '.join(absent)} not installed: sudo tests/slurm/install.sh"
    return None


class Cluster:
    """One node whose processors are counted twice and more, so that jobs run side by side.

    Args:
        folder: of all its files; must be empty, and short enough for a socket's path.
        cpus: how many processors the node claims.
        min_job_age: seconds after which the controller forgets a job that has ended; at least 2.
        kill_wait: seconds between SIGTERM and SIGKILL of a job that is cancelled or timed out.
        preempt_mode: of a job that one of partition `urgent` takes the place of.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cpus: int = 4,
        min_job_age: int = 300,
        kill_wait: int = 5,
        preempt_mode: str = "REQUEUE",
    ) -> None:
        self.folder = folder.absolute()
        self.configuration = self.folder / "slurm.conf"
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        self.configuration.write_text(
            CONFIGURATION.format(
                host=host,
                user=user,
                folder=self.folder,
                ports=free_ports(2),
                cpus=cpus,
                min_job_age=min_job_age,
                kill_wait=kill_wait,
                preempt_mode=preempt_mode,
            )
        )
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What SLURM's commands need to find this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": PLACES}

    def start(self) -> None:
        """Starts all three programs and waits until the node takes jobs.

        Raises:
            RuntimeError: one of them ended, or did not answer within a minute.
        """
        place, options = self.folder, ["--foreground", "--force", "--num-threads=2"]
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        options += [f"--{name}={place}/munge.{end}" for name, end in files.items()]
        self._start("munged", *options, f"--log-file={place}/munged.log")
        self._wait("munged", lambda: (place / "munge.socket").exists())
        self.start_controller()
        self.start_node()
        self._wait("slurmd", lambda: self("sinfo", "-h", "-o", "%T").split()[:1] == ["idle"])

    def start_controller(self) -> None:
        """Starts slurmctld, which remembers the jobs it had, and waits for its answer."""
        self._start("slurmctld", "-D", "-f", str(self.configuration))
        self._wait("slurmctld", lambda: "UP" in self("scontrol", "ping"))

    def start_node(self) -> None:
        """Starts slurmd; jobs of an earlier one go on."""
        self._start("slurmd", "-D", "-f", str(self.configuration))

    def stop(self) -> None:
        """Cancels every job and ends the three programs."""
        self("scancel", "--user", getpass.getuser())
        deadline = time.monotonic() + 20
        while self("squeue", "-h", "-t", "all", "-O", "StateCompact").split().count("CG"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        for name in reversed(list(self.running)):
            self.end(name)

    def end(self, name: str, how: int = signal.SIGTERM) -> None:
        """Ends one of the programs, by its process id."""
        process = self.running.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __call__(self, *words: str) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout

    def _start(self, name: str, *words: str) -> None:
        program = shutil.which(name, path=PLACES)
        assert program is not None, missing()
        with (self.folder / f"{name}.out").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [program, *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this program only, which ends them
                preexec_fn=_end_with_parent,
            )

    def _wait(self, name: str, answers) -> None:
        deadline = time.monotonic() + PATIENCE
        while not answers():
            ended = self.running[name].poll()
            if ended is not None or time.monotonic() > deadline:
                logs = sorted(self.folder.glob(f"{name}.*"))
                said = "\n".join(p.read_text(errors="replace")[-2000:] for p in logs if p.is_file())
                raise RuntimeError(f"{name} did not start (exit code {ended}):\n{said}")
            time.sleep(0.05)


def _end_with_parent() -> None:
    """Leaves no daemon behind, however this program ends (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def main() -> None:
    """Runs a cluster until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="new, of a short path; made by default"
    )
    parser.add_argument("--cpus", type=int, default=4, help="processors that the node claims")
    parser.add_argument(
        "--min-job-age", type=int, default=300, help="seconds until jobs are forgotten"
    )
    parser.add_argument("--preempt-mode", default="REQUEUE", choices=("REQUEUE", "CANCEL"))
    given = parser.parse_args()
    if why := missing():
        sys.exit(f"error: {why}")
    folder = given.folder or Path(tempfile.mkdtemp(prefix="slurm"))
    cluster = Cluster(
        folder, cpus=given.cpus, min_job_age=given.min_job_age, preempt_mode=given.preempt_mode
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cluster.start()
        print(f"export SLURM_CONF={cluster.configuration}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
