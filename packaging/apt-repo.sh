#!/usr/bin/env bash
# Makes dist/apt, a signed repository of the packages in dist/deb that any web server
# can hand out, and prints the two lines that a user pastes. DEBS, OUT and KEYS name
# other folders.
#
#   KEY=FINGERPRINT URL=https://example.org/apt packaging/apt-repo.sh
#
# Without KEY it signs with a key of its own, which it makes on the first run and
# keeps in dist/apt-key: fine for a home, not for the public.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${OUT:-dist/apt}
debs=${DEBS:-dist/deb}
keys=${KEYS:-$PWD/dist/apt-key}
url=${URL:-http://localhost:8000}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
compgen -G "$debs/*.deb" >/dev/null || {
	echo "There are no packages in $debs. Make them: make deb" >&2
	exit 1
}
for tool in apt-ftparchive gpg; do
	command -v $tool >/dev/null || {
		echo "$tool is missing. Install it: sudo apt install apt-utils gnupg" >&2
		exit 1
	}
done

if [ -z "${KEY:-}" ]; then
	export GNUPGHOME=$keys
	mkdir -p -m 0700 "$GNUPGHOME"
	if ! gpg --batch --list-secret-keys prime-spark-apt >/dev/null 2>&1; then
		gpg --batch --quiet --passphrase '' --quick-generate-key 'prime-spark-apt' ed25519 sign never 2>/dev/null
		echo "made a key of its own in $keys; back it up, or users have to trust a new one next time"
	fi
	KEY=prime-spark-apt
	trap 'gpgconf --kill gpg-agent' EXIT
fi

rm -rf "$out"
mkdir -p "$out/pool" "$out/dists/stable"
cp "$debs"/*.deb "$out/pool/"
cd "$out"
for arch in amd64 arm64; do
	dir=dists/stable/main/binary-$arch
	mkdir -p "$dir"
	apt-ftparchive --arch "$arch" packages pool >"$dir/Packages"
	gzip -9nk "$dir/Packages"
done
apt-ftparchive -o APT::FTPArchive::Release::Origin='Prime Spark' -o APT::FTPArchive::Release::Label='Prime Spark' \
	-o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
	-o APT::FTPArchive::Release::Architectures='amd64 arm64' -o APT::FTPArchive::Release::Components=main \
	release dists/stable >Release
sed -i "s/^Date: .*/Date: $(LC_ALL=C date -u -R -d "@$epoch")/" Release
mv Release dists/stable/Release
gpg --batch --yes --quiet --local-user "$KEY" --armor --detach-sign --output dists/stable/Release.gpg dists/stable/Release
gpg --batch --yes --quiet --local-user "$KEY" --clearsign --output dists/stable/InRelease dists/stable/Release
gpg --batch --quiet --armor --export "$KEY" >prime-spark.asc

cat <<TEXT
$out is ready; have a web server hand it out as $url. On each machine:

  sudo curl -fsSo /etc/apt/keyrings/prime-spark.asc $url/prime-spark.asc
  echo "deb [signed-by=/etc/apt/keyrings/prime-spark.asc] $url stable main" | sudo tee /etc/apt/sources.list.d/prime-spark.list

and then sudo apt update && sudo apt install prime-spark-agent.
TEXT
