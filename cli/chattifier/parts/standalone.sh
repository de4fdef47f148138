#!/bin/sh
# Starts a standalone Pulsar in its home, the working directory. Arguments go to `bin/pulsar standalone`.
#
# One that was killed is still registered as a bookie in its metadata. It deletes that when it registers again; if the news
# of the deletion comes late, on a busy machine, it takes it for the loss of its new registration, which it then makes anew,
# deleting the old one: for ever, with a core of CPU and 40 MB of log a minute. Whoever lists the bookies forgets those that
# are gone, so this is done before. Without a bookie there is nothing that could be lost by it.
set -eu
if [ -d data/metadata ]; then
    settings=$(mktemp)
    echo "metadataServiceUri=metadata-store:rocksdb://$PWD/data/metadata" >"$settings"
    "${JAVA_HOME:+$JAVA_HOME/bin/}java" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "conf:lib/*" \
        -Dbookkeeper.metadata.client.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataClientDriver \
        -Dbookkeeper.metadata.bookie.drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadataBookieDriver \
        org.apache.bookkeeper.bookie.BookieShell -conf "$settings" listbookies -rw ||
        echo "standalone: could not look for bookies that are gone; starting all the same" >&2
    rm -f "$settings"
fi
exec bin/pulsar standalone "$@"
