# inherit dtanalyze in an image recipe: the device trees that were deployed are checked, and findings fail the image.
# The program comes from the build host (HOSTTOOLS_NONFATAL += "dtanalyze") or from a native recipe.
DTANALYZE ?= "dtanalyze"
DTANALYZE_TREES ?= "${DEPLOY_DIR_IMAGE}"
DTANALYZE_CHECK_ARGS ?= ""
DTANALYZE_REPORT ?= "${IMGDEPLOYDIR}/${IMAGE_NAME}.dtanalyze.json"

do_dtanalyze() {
    ${DTANALYZE} check ${DTANALYZE_CHECK_ARGS} --format text --format json --output "${DTANALYZE_REPORT}" -- "${DTANALYZE_TREES}" || {
        status=$?
        bbfatal "dtanalyze: status $status (1 findings, 2 unreadable input), see ${DTANALYZE_REPORT}"
    }
}
addtask dtanalyze after do_image_complete before do_build
# Other recipes deploy trees too, and what they deploy is no part of this task's signature: it runs in every build.
do_dtanalyze[nostamp] = "1"
do_dtanalyze[depends] += "${@'virtual/kernel:do_deploy' if d.getVar('KERNEL_DEVICETREE') else ''}"
