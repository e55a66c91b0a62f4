;; Has 100 memories of 63 MiB, each within the limit by itself.
;;@frame event
;;@import
(core module $hoard (memory 1008))
;;@times 100 (core instance (instantiate $hoard))
