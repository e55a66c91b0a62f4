;; Imports what no host offers.
;;@frame event
;;@import
(import "platform:internal/admin@1.0.0" (instance (export "drop-everything" (func))))
