;; Imports 2,000 interfaces.
;;@frame event
;;@import
;;@times 2000 (import "platform:internal/part{n}" (instance))
