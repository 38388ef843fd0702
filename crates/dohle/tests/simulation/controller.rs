//! The simulated controller: the real controller's plans, on metadata that contain one partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::replica::{IsrProposal, LeaderRegistration};
use dohle_controller::plan::{
    AnyConfig, Draft, Indexes, PlanSettings, brokers, features, leaders, partitions,
};
use dohle_model::features::supported;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{BrokerRegistration, Endpoint, MetadataRecord, SecurityProtocol};
use dohle_model::{
    BrokerEpoch, DirectoryId, ErrorCode, IncarnationId, NodeId, PartitionIndex, TopicId,
    TopicIdPartition, TopicName,
};
use dohle_rpc::v1;

const TOPIC: TopicId = TopicId::from_bytes([7; 16]);
const PARTITION: TopicIdPartition = TopicIdPartition {
    topic_id: TOPIC,
    partition: PartitionIndex(0),
};

/// The part of the metadata that brokers receive.
#[derive(Debug, Clone)]
pub struct Registration {
    pub leader: Option<NodeId>,
    pub registered: LeaderRegistration,
}

pub struct Controller {
    draft: Draft,
    /// The partition, as committed last.
    pub partition: Arc<PartitionRegistration>,
    /// The epochs of the brokers that may be in the ISR.
    pub eligible: BTreeMap<NodeId, BrokerEpoch>,
    incarnations: u32,
}

impl Controller {
    /// A controller with one partition whose replicas are `nodes`, all of them in sync and on
    /// their disk 1.
    pub fn new(nodes: &[NodeId], min_insync_replicas: usize) -> Self {
        let settings = PlanSettings {
            controller: NodeId(1),
            controllers: [NodeId(1)].into(),
            new_cluster_features: dohle_model::features::defaults(),
            new_cluster_users: Vec::new(),
            num_partitions: 1,
            default_replication_factor: 3,
            min_insync_replicas,
            unclean_leader_election: false,
            delegation_tokens: None,
            configs: Arc::new(AnyConfig),
        };
        let image = MetadataImage::default();
        let mut draft = Draft::new(&image, &Indexes::default(), &Arc::new(settings));
        features::bootstrap(&mut draft);
        let directories = nodes.iter().map(|id| directory(*id, 1)).collect();
        let partition = PartitionRegistration::new(nodes.to_vec(), directories, nodes.to_vec());
        let mut controller = Self {
            draft,
            partition: Arc::new(partition.clone()),
            eligible: BTreeMap::new(),
            incarnations: 0,
        };
        for id in nodes {
            let registration = controller.broker(*id, 1);
            brokers::register(&mut controller.draft, registration, None).unwrap();
            brokers::unfence(&mut controller.draft, *id);
        }
        controller.draft.push(MetadataRecord::Topic {
            name: TopicName::new("t").unwrap(),
            id: TOPIC,
        });
        controller.draft.push(MetadataRecord::Partition {
            topic_id: TOPIC,
            partition: PARTITION.partition,
            registration: partition,
        });
        controller.commit();
        controller
    }

    pub fn registration(&self) -> Registration {
        Registration {
            leader: self.partition.leader,
            registered: LeaderRegistration {
                leader_epoch: self.partition.leader_epoch,
                partition_epoch: self.partition.partition_epoch,
                replicas: self.partition.replicas.clone(),
                isr: self.partition.isr.clone(),
            },
        }
    }

    /// Returns the replicas that the metadata consider complete: the ISR and the ELR.
    pub fn complete(&self) -> impl Iterator<Item = NodeId> {
        self.partition
            .isr
            .iter()
            .chain(&self.partition.elr)
            .copied()
    }

    /// Registers a new process, with its replica on its disk `disk`. `previous` is the epoch in its
    /// clean-shutdown file.
    pub fn register(
        &mut self,
        id: NodeId,
        disk: u32,
        previous: Option<BrokerEpoch>,
    ) -> BrokerEpoch {
        let registration = self.broker(id, disk);
        let epoch = brokers::register(&mut self.draft, registration, previous).unwrap();
        let request = v1::AssignReplicasToDirsRequest {
            broker_id: id.0,
            broker_epoch: epoch.0,
            replicas: vec![v1::ReplicaDirectory {
                topic_id: Bytes::copy_from_slice(&TOPIC.to_bytes()),
                partition: PARTITION.partition.0,
                directory: Bytes::copy_from_slice(&directory(id, disk).to_bytes()),
            }],
        };
        brokers::assign_replicas_to_dirs(&mut self.draft, &request).unwrap();
        self.commit();
        epoch
    }

    pub fn fence(&mut self, id: NodeId) {
        brokers::fence(&mut self.draft, id);
        self.commit();
    }

    pub fn unfence(&mut self, id: NodeId) {
        brokers::unfence(&mut self.draft, id);
        self.commit();
    }

    pub fn begin_controlled_shutdown(&mut self, id: NodeId) {
        brokers::begin_controlled_shutdown(&mut self.draft, id);
        self.commit();
    }

    /// Handles a heartbeat that reports that the disk of the broker's replica failed.
    pub fn on_failed_disk(&mut self, id: NodeId, disk: u32) {
        brokers::take_directories_offline(&mut self.draft, id, &[directory(id, disk)]);
        self.commit();
    }

    /// Moves leadership back to the preferred replica.
    pub fn rebalance(&mut self) {
        leaders::rebalance(&mut self.draft);
        self.commit();
    }

    /// Handles AlterPartition.
    pub fn alter(
        &mut self,
        leader: NodeId,
        broker_epoch: BrokerEpoch,
        proposal: &IsrProposal,
    ) -> Result<Registration, ErrorCode> {
        let members = proposal.isr.iter().map(|member| v1::IsrMember {
            broker_id: member.id.0,
            broker_epoch: member.broker_epoch.map_or(-1, |epoch| epoch.0),
        });
        let request = v1::AlterPartitionRequest {
            broker_id: leader.0,
            broker_epoch: broker_epoch.0,
            partitions: vec![v1::AlterPartition {
                topic_id: Bytes::copy_from_slice(&TOPIC.to_bytes()),
                partition: PARTITION.partition.0,
                leader_epoch: proposal.leader_epoch.0,
                new_isr: members.collect(),
                leader_recovery_state: 0,
                partition_epoch: proposal.partition_epoch.0,
            }],
        };
        let results = partitions::alter(&mut self.draft, &request).map_err(|error| error.code)?;
        self.commit();
        match results[0].code {
            0 => Ok(self.registration()),
            code => Err(ErrorCode::from_code(i16::try_from(code).unwrap()).unwrap()),
        }
    }

    fn commit(&mut self) {
        let draft = &mut self.draft;
        assert_eq!(draft.broken, None, "{:?}", draft.records);
        draft.records.clear();
        draft.splits.clear();
        draft.notes.clear();
        self.partition = draft.partition(PARTITION).expect("nobody deletes it");
        let (draft, partition) = (&self.draft, &self.partition);
        let replicas = partition.replicas.iter();
        let eligible = replicas
            .filter(|id| draft.is_eligible(**id) && draft.has_online_directory(**id, partition))
            .filter_map(|id| Some((*id, draft.image.brokers.get(id)?.epoch)));
        self.eligible = eligible.collect();
    }

    fn broker(&mut self, id: NodeId, disk: u32) -> BrokerRegistration {
        self.incarnations += 1;
        let mut incarnation = [1; 16];
        incarnation[..4].copy_from_slice(&self.incarnations.to_be_bytes());
        BrokerRegistration {
            id,
            incarnation: IncarnationId::from_bytes(incarnation),
            epoch: BrokerEpoch(0),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "host".to_owned(),
                port: 9092,
                security_protocol: SecurityProtocol::Plaintext,
            }],
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            // One disk holds other partitions, and never fails.
            log_dirs: vec![directory(id, 0), directory(id, disk)],
            cordoned_log_dirs: Vec::new(),
            features: supported(),
        }
    }
}

fn directory(id: NodeId, disk: u32) -> DirectoryId {
    let mut bytes = [200; 16];
    bytes[..4].copy_from_slice(&id.0.to_be_bytes());
    bytes[4..8].copy_from_slice(&disk.to_be_bytes());
    DirectoryId::from_bytes(bytes)
}
