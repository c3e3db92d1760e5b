#!/usr/bin/env bash
# What can be said about the packages without installing them: lintian has nothing
# to say, two builds are equal byte by byte, the units keep their sandbox, and the
# safe mode's unit is the agent's but for what it says it changes.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fault() { echo "FAULT: $*"; failed=1; }

packaging/units.sh || failed=1

rm -rf dist/deb
packaging/build.sh
first=$(mktemp)
trap 'rm -f "$first"' EXIT
cp dist/deb/SHA256SUMS "$first"
# The second build has another directory for its files, another time, another umask.
# FULL=1 compiles everything anew for it.
(umask 0027 && sleep 1 && GOFLAGS=${FULL:+-a} packaging/build.sh "$(go env GOARCH)" >/dev/null)
while read -r sum file; do
	grep -q "^$sum  $file\$" "$first" || fault "two builds of $file differ"
done <dist/deb/SHA256SUMS
echo "reproducible: $(wc -l <dist/deb/SHA256SUMS) files"

said=$(lintian --allow-root --fail-on none dist/deb/*.deb | grep -v '^N:' || true)
[ -z "$said" ] || fault "lintian: $said"
echo "lintian: nothing to say of $(ls dist/deb/*.deb | wc -l) packages"

for deb in dist/deb/*.deb; do
	! dpkg-deb --ctrl-tarfile "$deb" | tar -xO --wildcards './p*' 2>/dev/null | grep -n '@[A-Z]*@' || fault "$deb has placeholders left in its scripts"
done

most=$((12 * 1000 * 1000))
for deb in dist/deb/prime-spark-agent_*.deb; do
	[ "$(stat -c %s "$deb")" -le "$most" ] || fault "$deb has more than 12 MB"
done
exit $failed
