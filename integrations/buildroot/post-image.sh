#!/bin/sh
# BR2_ROOTFS_POST_IMAGE_SCRIPT="…/post-image.sh": Buildroot calls it with the images' folder, also in BINARIES_DIR.
# BR2_ROOTFS_POST_SCRIPT_ARGS are passed on to `dtanalyze check`, for instance --memory 0x40000000+2G --xen 4.20
set -eu
images=${BINARIES_DIR:-${1:?the folder of the images}}
[ $# -eq 0 ] || shift
exec "${DTANALYZE:-dtanalyze}" check "$@" --format text --format json --output "$images/dtanalyze.json" -- "$images"
