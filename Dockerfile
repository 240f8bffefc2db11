# The proxy's image: one static binary and nothing else, on any engine from
# Docker 20.10 with its classic builder on. `cosmos` makes the same of itself
# where there is none; this is for making it from the sources:
#
#   docker build -t tiborvass/coding-proxy -f Dockerfile --target coding-proxy .
#
# A `cosmos` of the version in the label makes its next proxy of it.

FROM rust:1.95-bookworm AS build
WORKDIR /src
# What a build is optimised for: `release`, or `dev` for one in a third of the time.
ARG PROFILE=release

# First the crates we use, over an empty program: an edit of ours compiles only
# ours then. A layer and not a cache mount, which the classic builder has not.
COPY .cargo/ .cargo/
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src /out/state && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
 # Cargo wants the files of its other targets to be there.
 && sed -n 's/^path = "\(.*\)"/\1/p' Cargo.toml | while read -r target; do \
        mkdir -p "${target%/*}" && cp src/main.rs "$target" || exit; \
    done \
 && cargo build --locked --bin cosmos --profile "$PROFILE"

# Then ours. Touched, as cargo compares times, and a copy keeps those of the host.
COPY src/ src/
RUN touch src/lib.rs src/main.rs \
 && cargo build --locked --bin cosmos --profile "$PROFILE" \
 && cp target/*-linux-*/*/cosmos /out/

FROM scratch AS coding-proxy
# The version of Cargo.toml.
LABEL dev.cosmos.version="0.1.0"
COPY --from=build /out/cosmos /cosmos
# An empty folder, for its owner: a fresh volume over it inherits that.
COPY --from=build --chown=65532:65532 /out/state /var/lib/cosmos
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/cosmos"]
CMD ["serve"]
