;; Declares a memory of 4 GiB.
;;@frame event
;;@memory
(memory (export "memory") 65536)
