;; Imports the state store without having it granted.
;;@frame event
;;@import
(import "wasi:keyvalue/store@0.2.0-draft2" (instance (export "bucket" (type (sub resource)))))
