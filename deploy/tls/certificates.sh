#!/bin/sh
# Makes certificates to try TLS with: somebody who vouches, one for each of the clusters a and b, one for their clients, and
# a key for gossip. For a year, and for this machine alone. Needs openssl 3. Usage: certificates.sh FOLDER
set -eu
cd "${1:?certificates.sh FOLDER}"

# Who vouches stays the same, so that one certificate can be replaced after the other.
if [ ! -e ca.pem ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 365 \
        -subj "/CN=meridian example" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
fi

# One name of a cluster's certificate is the cluster's: that is how other clusters know it.
vouch() {
    openssl req -x509 -CA ca.pem -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
        -keyout "$1.key.new" -out "$1.pem.new" -subj "/CN=$1" -addext "subjectAltName=$2" \
        -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth,clientAuth 2>/dev/null
    mv "$1.key.new" "$1.key"
    mv "$1.pem.new" "$1.pem"
}
vouch a DNS:a,DNS:localhost,IP:127.0.0.1
vouch b DNS:b,DNS:localhost,IP:127.0.0.1
vouch client DNS:client.example

[ -e gossip.key ] || openssl rand -hex -out gossip.key 32
