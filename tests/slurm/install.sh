#!/bin/sh
# Installs, on Debian or Ubuntu, the servers that some tests start for themselves on the loopback:
# PostgreSQL, SLURM with MUNGE, and faketime. No service of them is left running.
#
#   sudo tests/slurm/install.sh
set -eu
[ "$(id -u)" = 0 ] || { echo "error: run it as root: sudo $0" >&2; exit 1; }

# Debian starts a service when its package is installed; the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends postgresql slurmctld slurmd slurm-client munge faketime
