;; Has 90 memories of 63 MiB in one module.
;;@frame event
;;@core
;;@times 90 (memory 908)
