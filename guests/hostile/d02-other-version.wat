;; Exports the handler of a version of the contract that does not exist.
;;@frame event
;;@export
(export "guesthouse:handler/handler@9.9.9" (instance $handler))
